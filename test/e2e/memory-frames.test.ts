import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SocketOptions } from '../../stack/tcp/socket-options.ts'
import { SYN } from '../../stack/wire/tcp.ts'
import { ether, framed, icmp, ip4, ip6 } from '../support/ip-frames.ts'
import { PcapFile, tap } from '../support/pcap.ts'
import { ascending, RawPeer } from '../support/raw-peer.ts'
import { drain, type PairOptions, StackPair } from '../support/stack-pair.ts'
import { captureDirectory, verdict } from '../support/tshark.ts'

const obstacle = spawnSync('tshark', ['-v']).status === 0 ? '' : 'there is no tshark'
if (obstacle !== '') console.warn(`frames of memory links are not judged: ${obstacle}`)

const BYTES = 150_000
const MSS = [2, 4, 5, 180]

interface Scenario {
  /** Runs it; what is sent goes into the file. */
  run(file: PcapFile): void
  /** Each must match some frame. */
  filters: string[]
}

/** Both stacks send and receive over a link; the last bytes of one direction are urgent. */
function exchange(options: PairOptions): (file: PcapFile) => void {
  return (file) => {
    const pair = new StackPair(options)
    for (const direction of [pair.link.aToB, pair.link.bToA]) tap(direction, file, () => pair.clock.now())
    const [client, server] = pair.open()
    const bytes = Uint8Array.from({ length: BYTES }, (_, i) => i)
    const ends = [
      { stack: pair.client, tcb: client, sent: 0, received: 0 },
      { stack: pair.server, tcb: server, sent: 0, received: 0 },
    ]
    const done = pair.runUntil(() => {
      for (const [i, end] of ends.entries()) {
        end.received += drain(end.stack, end.tcb).length
        end.stack.kick()
        const now = pair.clock.now()
        end.sent += end.stack.tcp.send(end.tcb, bytes.subarray(end.sent), 0, now, i === 0)
      }
      return ends.every((end) => end.sent === BYTES && end.received === BYTES)
    })
    expect(done).toBe(true)
    pair.client.tcp.close(client, pair.clock.now())
    pair.server.tcp.close(server, pair.clock.now())
    for (let i = 0; i < 50; i++) pair.step()
  }
}

/** What a stack answers to frames of a test's own making. */
function answers(use: (peer: RawPeer) => void, options = {}): (file: PcapFile) => void {
  return (file) => {
    const peer = new RawPeer({ frameBytes: 4096, ...options })
    tap(peer.link.bToA, file, () => peer.clock.now())
    use(peer)
    peer.pass(3_000_000)
  }
}

const BAD = { loss: 0.03, reorder: 0.05, duplicate: 0.03, delayUs: 2000 }
const SCENARIOS: Record<string, Scenario> = {
  'a bad path, IPv4': {
    run: exchange({ seed: 5, impairments: BAD }),
    filters: ['tcp.options.sack', 'tcp.flags.urg == 1', 'tcp.flags.fin == 1', 'arp'],
  },
  'a bad path, IPv6': {
    run: exchange({ seed: 6, impairments: BAD, version: 6 }),
    filters: ['tcp.options.sack', 'tcp.flags.urg == 1', 'icmpv6.type == 135', 'icmpv6.type == 136'],
  },
  'ECN (RFC 3168)': {
    run: exchange({ seed: 17, impairments: BAD, tcp: { ecn: 'request' } }),
    filters: ['tcp.flags.ece == 1', 'tcp.flags.cwr == 1', 'ip.dsfield.ecn == 2'],
  },
  'accurate ECN (RFC 9768), IPv4': {
    run: exchange({ seed: 8, impairments: BAD, tcp: { ecn: 'accurate' } }),
    filters: ['tcp.flags.ae == 1', 'tcp.option_kind == 172 || tcp.option_kind == 174'],
  },
  'accurate ECN (RFC 9768), IPv6': {
    run: exchange({ seed: 9, impairments: BAD, version: 6, tcp: { ecn: 'accurate' } }),
    filters: ['tcp.flags.ae == 1', 'tcp.option_kind == 172 || tcp.option_kind == 174'],
  },
  'SYN cookies, IPv4': {
    run: exchange({ seed: 10, tcp: { maxHalfOpen: 0 } }),
    filters: ['tcp.flags.syn == 1 && tcp.flags.ack == 1'],
  },
  'SYN cookies, IPv6': {
    run: exchange({ seed: 11, version: 6, tcp: { maxHalfOpen: 0 } }),
    filters: ['tcp.flags.syn == 1 && tcp.flags.ack == 1'],
  },
  'two VLAN tags': {
    run: exchange({ seed: 12, impairments: BAD, ip: { vlan: [100, 7] } }),
    filters: ['ieee8021ad.id == 100 && vlan.id == 7', 'tcp.options.sack'],
  },
  'one VLAN tag, IPv6': {
    run: exchange({ seed: 13, version: 6, ip: { vlan: [7] } }),
    filters: ['vlan.id == 7 && ipv6'],
  },
  'Fast Open (RFC 7413)': {
    run: answers((peer) => {
      peer.listener.options = SocketOptions.default.with({ fastOpen: 2 })
      const [answer] = peer.send({ sourcePort: 1, flags: SYN, options: [...MSS, 34, 2, 1, 1] })
      const at = answer!.options.findIndex((byte, i) => byte === 34 && answer!.options[i + 1] === 10)
      const options = [...MSS, ...answer!.options.subarray(at, at + 10), 1, 1]
      peer.send({ sourcePort: 2, seq: 99, flags: SYN, options, payload: ascending(50) })
      const tcb = peer.stack.tcp.accept(peer.listener)!
      peer.stack.tcp.send(tcb, ascending(30), 0, peer.clock.now())
    }),
    filters: ['tcp.options.tfo.cookie', 'tcp.len == 30'],
  },
  'echo replies in fragments': {
    run: answers((peer) => {
      const data = ascending(3000)
      peer.inject(ether(0x0800, ip4(icmp(4, 8, 0, 0x10001, data), { protocol: 1 })))
      peer.inject(ether(0x86dd, ip6(icmp(6, 128, 0, 0x10001, data), { protocol: 58 })))
    }),
    filters: ['ip.flags.mf == 1', 'ipv6.fraghdr', 'icmp.type == 0', 'icmpv6.type == 129'],
  },
  'ICMP errors and resets': {
    run: answers((peer) => {
      peer.inject(framed(4, ascending(200), { protocol: 200 }))
      peer.inject(framed(6, ascending(2000), { protocol: 200 }))
      // An option that must be known (RFC 8200 4.2), in a destination header.
      peer.inject(ether(0x86dd, ip6(ascending(40), { protocol: 6 }, [[60, [0, 0, 0x80, 4, 0, 0, 0, 0]]])))
      peer.send({ destinationPort: 81, flags: SYN, options: MSS })
      peer.send({ destinationPort: 81, ack: 77 })
    }),
    filters: ['icmp.type == 3', 'icmpv6.type == 4', 'tcp.flags.reset == 1'],
  },
}

describe.skipIf(obstacle !== '')('tshark finds no fault with what stacks put on a memory link', () => {
  it.each(Object.keys(SCENARIOS))(
    '%s',
    async (name) => {
      const { run, filters } = SCENARIOS[name]!
      const directory = captureDirectory()
      try {
        const file = new PcapFile(join(directory.path, 'memory.pcap'))
        run(file)
        file.close()
        const seen = await verdict(file.path, filters)
        expect(seen.faults).toEqual([])
        for (const [i, filter] of filters.entries()) expect(seen.matches[i], filter).toBeGreaterThan(0)
      } finally {
        directory.remove()
      }
    },
    30_000,
  )
})
