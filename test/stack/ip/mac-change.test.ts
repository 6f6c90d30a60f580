import { describe, expect, it } from 'vitest'
import { withRoles } from '../../support/roles.ts'
import { drain, StackPair } from '../../support/stack-pair.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** A pair whose server has a NIC with a hardware address that changes. */
class Pair extends StackPair {
  readonly sources: string[] = []

  constructor(version: 4 | 6) {
    const sources: string[] = []
    super({
      version,
      wrap: (inner) => {
        const nic = withRoles(inner, { macChanges: { onMacChange: null } })
        const commit = nic.txCommit.bind(nic)
        nic.txCommit = (offset, length) => {
          sources.push(hex(nic.txMemory.subarray(offset + 6, offset + 12)))
          commit(offset, length)
        }
        return nic
      },
    })
    this.sources = sources
  }

  change(last: number): void {
    const { nic } = this.server
    nic.info.mac[5] = last
    nic.roles.macChanges!.onMacChange!()
  }

  /** The client's idea of the server's address, its last four bytes. */
  known(): number {
    return this.client.link.neighbours.lookup(this.serverAddress)!.macLow
  }
}

describe('a hardware address that changes', () => {
  it.each([4, 6] as const)('IPv%i: is told at once and thrice in all, and used from then on', (version) => {
    const pair = new Pair(version)
    const [client, server] = pair.open()
    const { counters } = pair.server
    const told = (): number => counters.arpRequestsSent + counters.neighbourAdvertsSent
    const before = told()
    pair.sources.length = 0
    pair.change(0x77)
    expect(told()).toBe(before + 1)
    pair.settle()
    expect(pair.known()).toBe(0x77)
    pair.runUntil(() => false, 5_000_000)
    expect(told()).toBe(before + 3)
    const now = pair.clock.now()
    pair.client.tcp.send(client, new Uint8Array(30_000).fill(5), 0, now)
    pair.server.tcp.send(server, new Uint8Array(30_000).fill(6), 0, now)
    let [here, there] = [0, 0]
    pair.runUntil(() => {
      here += drain(pair.server, server).length
      there += drain(pair.client, client).length
      return here + there === 60_000
    }, 2_000_000)
    expect([here, there]).toEqual([30_000, 30_000])
    expect(new Set(pair.sources)).toEqual(new Set(['020000000077']))
    expect(pair.server.drops()).toEqual({})
  })

  it('frames to the addresses before are taken for a while of changes', () => {
    const pair = new Pair(4)
    const [client, server] = pair.open()
    // The client never hears of any of them.
    pair.server.link.addresses[0] = { ...pair.server.link.addresses[0]!, own: false }
    const receive = (): number => {
      pair.client.tcp.send(client, new Uint8Array(1000), 0, pair.clock.now())
      let seen = 0
      pair.runUntil(() => {
        seen += drain(pair.server, server).length
        return seen === 1000
      }, 100_000)
      return seen
    }
    for (const last of [0x71, 0x72, 0x73, 0x74]) {
      pair.change(last)
      expect(receive()).toBe(1000)
    }
    pair.change(0x75)
    expect([receive(), pair.server.drops().notForUs ?? 0]).toEqual([0, expect.toSatisfy((n) => n > 0)])
  })
})
