import { describe, expect, it } from 'vitest'
import { dropsByCause } from '../../../stack/counters.ts'
import { ESTABLISHED } from '../../../stack/tcp/state.ts'
import { ether, icmp, ip4, ip6 } from '../../support/ip-frames.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { drain, StackPair } from '../../support/stack-pair.ts'

const Q = 0x8100
const AD = 0x88a8
const echo = ip4(icmp(4, 8, 0, 0, [1, 2, 3]), { protocol: 1 })

/** Tags of the answer as sent, in hexadecimal; null when there is none. */
function answer(vlan: number[], tags: [number, number][]): string | null {
  const peer = new RawPeer({ ip: { vlan } })
  peer.inject(ether(0x800, echo, { tags }))
  const drops = dropsByCause(peer.stack.counters)
  const frame = peer.others[0]
  expect(drops.vlan ?? drops.malformed ?? 0).toBe(frame === undefined ? 1 : 0)
  if (frame === undefined) return null
  return Buffer.from(frame.subarray(12, 14 + vlan.length * 4)).toString('hex')
}

describe('VLAN tags', () => {
  it.each<[string, number[], [number, number][], string | null]>([
    ['untagged, as sent', [], [], '0800'],
    ['a priority tag belongs to no VLAN', [], [[Q, 0xe000]], '0800'],
    ['a tag where none is wanted', [], [[Q, 7]], null],
    ['the wanted tag', [7], [[Q, 7]], '810000070800'],
    ['the wanted tag with a priority', [7], [[Q, 0xe007]], '810000070800'],
    ['no tag where one is wanted', [7], [], null],
    ['another tag', [7], [[Q, 8]], null],
    [
      'a priority tag around the wanted one',
      [7],
      [
        [Q, 0],
        [Q, 7],
      ],
      '810000070800',
    ],
    [
      'two tags',
      [100, 7],
      [
        [AD, 100],
        [Q, 7],
      ],
      '88a80064810000070800',
    ],
    [
      'two tags in the wrong order',
      [100, 7],
      [
        [Q, 7],
        [AD, 100],
      ],
      null,
    ],
    ['one of two tags', [100, 7], [[AD, 100]], null],
    [
      'three tags',
      [],
      [
        [Q, 0],
        [Q, 0],
        [Q, 0],
      ],
      null,
    ],
  ])('%s', (_what, vlan, tags, expected) => expect(answer(vlan, tags)).toBe(expected))

  it('cut off by the end of the frame', () => {
    const peer = new RawPeer()
    peer.inject(Uint8Array.of(...new Array<number>(6).fill(2), ...new Array<number>(6).fill(3), 0x81, 0, 0))
    peer.inject(Uint8Array.of(...new Array<number>(6).fill(2), ...new Array<number>(6).fill(3), 0x81, 0))
    expect(dropsByCause(peer.stack.counters)).toEqual({ malformed: 2 })
  })

  it.each<[4 | 6, number[]]>([
    [4, [7]],
    [6, [7]],
    [4, [100, 7]],
    [6, [100, 7]],
  ])('carry a connection over IPv%i in VLANs %j', (version, vlan) => {
    const pair = new StackPair({ version, ip: { vlan } })
    const [client, server] = pair.open()
    const data = Uint8Array.from({ length: 5000 }, (_, i) => i)
    pair.client.tcp.send(client, data, 0, pair.clock.now())
    pair.runUntil(() => server.rcv.queuedBytes === data.length)
    expect(client.state).toBe(ESTABLISHED)
    expect([...drain(pair.server, server)]).toEqual([...data])
    expect(pair.server.census().lost).toBe(0)
  })

  it('of IPv6 are stepped over alike', () => {
    const peer = new RawPeer({ ip: { vlan: [7] } })
    peer.inject(ether(0x86dd, ip6(icmp(6, 128, 0, 0, []), { protocol: 58 }), { tags: [[Q, 7]] }))
    expect(peer.others.length).toBe(1)
  })
})
