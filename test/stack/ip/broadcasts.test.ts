import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { Broadcasts } from '../../../stack/ip/broadcasts.ts'
import { SYN } from '../../../stack/wire/tcp.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { SERVER } from '../../support/stack-pair.ts'

const at = (text: string): IpAddress => IpAddress.parse(text)!

describe('broadcast addresses', () => {
  it.each([
    ['192.0.2.2', 24, '192.0.2.255'],
    ['192.0.2.2', 30, '192.0.2.3'],
    ['10.1.2.3', 8, '10.255.255.255'],
    ['128.0.0.1', 1, '255.255.255.255'],
  ])('%s/%i: %s', (address, prefixLength, broadcast) => {
    const broadcasts = new Broadcasts()
    broadcasts.set(at(address), prefixLength)
    expect(broadcasts.has(at(broadcast).w3)).toBe(true)
    expect(broadcasts.has(at(address).w3)).toBe(false)
    broadcasts.forget(at(address))
    expect(broadcasts.has(at(broadcast).w3)).toBe(false)
  })

  it.each([
    ['192.0.2.2', 31],
    ['192.0.2.2', 32],
    ['192.0.2.2', 0],
    ['2001:db8::1', 64],
  ])('%s/%i has none', (address, prefixLength) => {
    const broadcasts = new Broadcasts()
    broadcasts.set(at(address), prefixLength)
    for (const last of [at('192.0.2.3'), at('192.0.2.255'), at('255.255.255.255')])
      expect(broadcasts.has(last.w3)).toBe(false)
  })

  it('those of the host’s addresses are its own, and change with them', () => {
    const broadcasts = new Broadcasts()
    broadcasts.set(at('192.0.2.2'), 24)
    broadcasts.setHost([{ address: at('10.0.0.1'), prefixLength: 16 }])
    expect([at('192.0.2.255'), at('10.0.255.255')].map(({ w3 }) => broadcasts.has(w3))).toEqual([true, true])
    broadcasts.setHost([])
    expect([at('192.0.2.255'), at('10.0.255.255')].map(({ w3 }) => broadcasts.has(w3))).toEqual([true, false])
  })
})

describe('a SYN', () => {
  /** Answers to it, and frames that were dropped as not for us. */
  function heard(prefixLength: number, source: string, destinationMac?: number[]): [number, number] {
    const peer = new RawPeer()
    peer.stack.removeAddress(SERVER)
    peer.stack.addAddress(SERVER, false, prefixLength)
    const spec = { flags: SYN, source: at(source) }
    const answers =
      destinationMac === undefined ? peer.send(spec) : peer.inject(peer.framed(spec, destinationMac))
    return [answers.length, peer.stack.counters.dropNotForUs]
  }

  it('from the broadcast address of our network is not answered (RFC 9293 MUST-63, 3.9.2.3)', () => {
    expect(heard(24, '192.0.2.255')).toEqual([0, 1])
    expect(heard(28, '192.0.2.15')).toEqual([0, 1])
    // There it is a host.
    expect(heard(28, '192.0.2.255')).toEqual([1, 0])
    expect(heard(32, '192.0.2.255')).toEqual([1, 0])
  })

  it('in a frame to everybody is not answered (RFC 1122 3.3.6)', () => {
    expect(heard(24, '192.0.2.1', [255, 255, 255, 255, 255, 255])).toEqual([0, 1])
  })
})
