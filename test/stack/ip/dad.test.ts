import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { dropsByCause } from '../../../stack/counters.ts'
import type { AddressEvent } from '../../../stack/ip/link.ts'
import { EADDRNOTAVAIL } from '../../../stack/tcp/state.ts'
import { SYN } from '../../../stack/wire/tcp.ts'
import { ether, type IpSpec, icmp, ip6 } from '../../support/ip-frames.ts'
import { PcapFile } from '../../support/pcap.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { CLIENT, CLIENT6, SERVER, SERVER6 } from '../../support/stack-pair.ts'
import { captureDirectory, faults, tshark } from '../../support/tshark.ts'

const SECOND = 1_000_000
const ANY = IpAddress.any6
const GROUP = IpAddress.parse('ff02::1:ff00:2')!
const ALL = IpAddress.parse('ff02::1')!
const THEIRS = [2, 0, 0, 0, 0, 1]
const OURS = [2, 0, 0, 0, 0, 2]
const NOBODY = IpAddress.any4

function arp(operation: number, mac: number[], sender: IpAddress, target: IpAddress): Uint8Array {
  const zero = [0, 0, 0, 0, 0, 0]
  const packet = [0, 1, 8, 0, 6, 4, 0, operation, ...mac, ...sender.bytes(), ...zero, ...target.bytes()]
  return ether(0x806, packet, { destination: [255, 255, 255, 255, 255, 255] })
}

function ndp(type: number, flags: number, options: number[], spec: IpSpec): Uint8Array {
  const all = { protocol: 58, hopLimit: 255, ...spec }
  const message = icmp(6, type, 0, flags << 24, [...SERVER6.bytes(), ...options], all)
  return ether(0x86dd, ip6(message, all), {
    destination: [0x33, 0x33, ...all.destination!.bytes().slice(12)],
  })
}

class Tested extends RawPeer {
  readonly events: string[] = []

  constructor(options: ConstructorParameters<typeof RawPeer>[0] = {}) {
    super({ ...options, ip: { dad: true, ...options.ip } })
    this.stack.onAddress = ({ address, what, holder }: AddressEvent) =>
      this.events.push(`${address} ${what}${holder === null ? '' : ` ${holder.join(' ')}`}`)
  }

  /** ARP packets that the stack has sent: operation, sender, target. */
  arps(): string[] {
    const frames = this.others.filter((frame) => frame[12] === 8 && frame[13] === 6)
    return frames.map(
      (frame) =>
        `${frame[21]} ${IpAddress.from(frame.subarray(28, 32))} ${IpAddress.from(frame.subarray(38, 42))}`,
    )
  }

  /** Neighbour solicitations from nobody. */
  probes6(): Uint8Array[] {
    return this.others.filter((frame) => frame[54] === 135 && frame.subarray(22, 38).every((b) => b === 0))
  }
}

const PROBE = `1 0.0.0.0 ${SERVER}`
const ANNOUNCEMENT = `1 ${SERVER} ${SERVER}`

describe('duplicate address detection', () => {
  it('asks three times for an IPv4 address, waits, and announces it twice (RFC 5227 section 2)', () => {
    const peer = new Tested()
    peer.pass(2 * SECOND)
    expect(peer.stack.link.isLocal(SERVER)).toBe(false)
    peer.pass(20 * SECOND)
    expect(peer.arps()).toEqual([PROBE, PROBE, PROBE, ANNOUNCEMENT, ANNOUNCEMENT])
    expect(peer.stack.link.isLocal(SERVER)).toBe(true)
    expect(peer.events).toContain(`${SERVER} usable`)
  })

  it('takes the times from the configuration', () => {
    const ip = { probeCount: 1, probeWaitUs: 0, announceWaitUs: 100_000, announceCount: 1 }
    const peer = new Tested({ ip })
    peer.pass(150_000)
    expect(peer.arps()).toEqual([PROBE, ANNOUNCEMENT])
    expect(peer.stack.link.isLocal(SERVER)).toBe(true)
  })

  it('asks once for an IPv6 address, from nobody and with a nonce (RFC 4862 5.4.2, RFC 7527)', () => {
    const peer = new Tested()
    peer.pass(2.1 * SECOND)
    const [probe, ...more] = peer.probes6()
    expect(more).toEqual([])
    expect([...probe!.subarray(38, 54)]).toEqual([...GROUP.bytes()])
    expect([...probe!.subarray(62, 80)]).toEqual([...SERVER6.bytes(), 14, 1])
    expect(peer.events).toEqual([`${SERVER6} usable`])
  })

  it('receives and answers nothing at an address that is being tested', () => {
    const peer = new Tested()
    peer.inject(arp(1, THEIRS, CLIENT, SERVER))
    peer.send({ flags: SYN })
    peer.inject(ndp(135, 0, [1, 1, ...THEIRS], { source: CLIENT6, destination: GROUP }))
    expect(peer.others).toEqual([])
    expect(dropsByCause(peer.stack.counters)).toEqual({ notForUs: 2 })
    expect(peer.stack.link.localFor(CLIENT)).toBeNull()
    peer.pass(8 * SECOND)
    expect(peer.events).toEqual([`${SERVER6} usable`, `${SERVER} usable`])
  })

  it.each<[string, Uint8Array]>([
    ['who answers our probe', arp(2, THEIRS, SERVER, NOBODY)],
    ['who asks others from the address', arp(1, THEIRS, SERVER, CLIENT)],
    ['who announces it', arp(1, THEIRS, SERVER, SERVER)],
    ['who tests it at the same time', arp(1, THEIRS, NOBODY, SERVER)],
  ])('leaves an IPv4 address to %s (RFC 5227 2.1.1)', (_who, frame) => {
    const peer = new Tested()
    peer.pass(1.5 * SECOND)
    peer.inject(frame)
    peer.pass(20 * SECOND)
    expect(peer.events).toContain(`${SERVER} taken ${THEIRS.join(' ')}`)
    expect(peer.stack.link.isLocal(SERVER)).toBe(false)
    expect(peer.arps()).not.toContain(ANNOUNCEMENT)
    expect(peer.stack.counters.addressConflicts).toBe(1)
  })

  it.each<[string, Uint8Array]>([
    ['who has it', ndp(136, 0x20, [2, 1, ...THEIRS], { source: SERVER6, destination: ALL })],
    ['who tests it too', ndp(135, 0, [], { source: ANY, destination: GROUP })],
    [
      'who tests it with a nonce',
      ndp(135, 0, [14, 1, 9, 9, 9, 9, 9, 9], { source: ANY, destination: GROUP }),
    ],
  ])('leaves an IPv6 address to %s (RFC 4862 5.4.3, 5.4.4)', (_who, frame) => {
    const peer = new Tested()
    peer.inject(frame)
    peer.pass(20 * SECOND)
    expect(peer.events).toContain(`${SERVER6} taken ${THEIRS.join(' ')}`)
    expect(peer.stack.link.isLocal(SERVER6)).toBe(false)
  })

  it('is not misled by its own frames come back, nor by who resolves the address', () => {
    const peer = new Tested()
    peer.pass(1.01 * SECOND)
    const [probe] = peer.probes6()
    peer.inject(probe!)
    for (const frame of peer.others.filter(({ 12: high, 13: low }) => high === 8 && low === 6)) {
      peer.inject(frame)
    }
    peer.inject(ndp(135, 0, [1, 1, ...THEIRS], { source: CLIENT6, destination: GROUP }))
    peer.inject(arp(1, OURS, SERVER, SERVER))
    peer.pass(10 * SECOND)
    expect(peer.events).toEqual([`${SERVER6} usable`, `${SERVER} usable`])
  })

  it('defends an IPv4 address once in ten seconds, then gives it up with its connections (RFC 5227 2.4 (b))', () => {
    const peer = new Tested()
    peer.pass(15 * SECOND)
    const { tcb } = peer.open()
    peer.others.length = 0
    const claim = arp(1, THEIRS, SERVER, CLIENT)
    peer.inject(claim)
    expect(peer.arps()).toEqual([ANNOUNCEMENT])
    peer.pass(11 * SECOND)
    peer.inject(claim)
    expect(peer.stack.link.isLocal(SERVER)).toBe(true)
    peer.pass(SECOND)
    peer.inject(claim)
    expect(peer.stack.link.isLocal(SERVER)).toBe(false)
    expect([tcb.state, tcb.error]).toEqual([0, EADDRNOTAVAIL])
    expect(peer.events.at(-1)).toBe(`${SERVER} lost ${THEIRS.join(' ')}`)
    expect(peer.stack.counters.addressConflicts).toBe(3)
  })

  it('adds nothing for an address of the host’s, and only counts without the option', () => {
    const host = new Tested({ own: false })
    expect(host.stack.link.isLocal(SERVER)).toBe(true)
    const plain = new RawPeer()
    plain.inject(arp(1, THEIRS, SERVER, SERVER))
    expect(plain.stack.link.isLocal(SERVER)).toBe(true)
    expect(dropsByCause(plain.stack.counters)).toEqual({ notForUs: 1 })
  })

  it('sends what tshark takes for it', () => {
    const peer = new Tested()
    peer.pass(12 * SECOND)
    const directory = captureDirectory()
    try {
      const file = new PcapFile(`${directory.path}/dad.pcap`)
      for (const frame of peer.others) file.add(frame, 0)
      file.close()
      expect(faults(file.path)).toEqual([])
      const seen = tshark(file.path, '-T', 'fields', '-e', '_ws.col.Info')
      expect(seen.filter((line) => line.includes('ARP Probe')).length).toBe(3)
      expect(seen.filter((line) => line.includes('ARP Announcement')).length).toBe(2)
      expect(seen).toContain(`Neighbor Solicitation for ${SERVER6}`)
    } finally {
      directory.remove()
    }
  })
})
