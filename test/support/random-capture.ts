import { IpAddress } from '../../address.ts'
import { seededRandom } from '../../driver/impairments.ts'
import {
  LINKTYPE_ETHERNET,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_RAW,
} from '../../pcap/file/format.ts'
import { MemorySink, PcapngWriter, PcapWriter } from '../../pcap/file/writer.ts'
import { ACK, FIN, PSH, RST, SYN } from '../../stack/wire/tcp.ts'
import { ether, fragment6, ip4, ip6, type TcpSpec, tcpSegment } from './ip-frames.ts'

/** What random captures have besides segments in order. */
export interface Mishaps {
  duplicates: number
  reordered: number
  /** Segments that begin before what came last and have other bytes. */
  overlaps: number
  /** Segments that were sent and not captured; the receiver acknowledges them all the same. */
  holes: number
  /** Segments nobody has received. */
  lost: number
}

interface Sent {
  at: number
  frame: Uint8Array
}

type Random = () => number
const LINKS = [LINKTYPE_ETHERNET, LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2, LINKTYPE_RAW]

/** A capture that follows from a seed, and what is special about it, for messages. */
export function randomCapture(seed: number): { bytes: Uint8Array; about: string } {
  const random = seededRandom(seed)
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
  const linkType = pick(LINKS)
  const mishaps: Mishaps = {
    duplicates: pick([0, 0.1, 0.3]),
    reordered: pick([0, 0.1, 0.5]),
    overlaps: pick([0, 0.1, 0.3]),
    holes: pick([0, 0, 0.05, 0.3]),
    lost: pick([0, 0.1]),
  }
  const snapLength = random() < 0.2 ? 60 + Math.floor(random() * 400) : 262_144
  const vlan = linkType === LINKTYPE_ETHERNET && random() < 0.3
  const conversations = 1 + Math.floor(random() * 4)
  const sent: Sent[] = []
  // Conversations of the same ports follow each other, though segments of the one before may be late.
  let over = 0
  for (let i = 0; i < conversations; i++) {
    const talk = new Talk(random, mishaps, i, over, { linkType, vlan })
    sent.push(...talk.segments())
    over = talk.now
  }
  sent.sort((a, b) => a.at - b.at)
  return {
    bytes: written(sent, linkType, snapLength, random() < 0.5),
    about: JSON.stringify({ linkType, vlan, conversations, snapLength, ...mishaps }),
  }
}

function written(sent: readonly Sent[], linkType: number, snapLength: number, pcapng: boolean): Uint8Array {
  const sink = new MemorySink()
  const frames = sent.map(({ at, frame }) => {
    const length = Math.min(frame.length, snapLength)
    return [
      1_700_000_000 + Math.floor(at / 1e6),
      Math.floor((at % 1e6) * 1000),
      frame,
      0,
      length,
      frame.length,
    ] as const
  })
  if (pcapng) {
    const writer = new PcapngWriter(sink)
    const device = writer.addInterface({ linkType })
    for (const [seconds, nanoseconds, bytes, , length, originalLength] of frames)
      writer.packet(device, seconds, nanoseconds, bytes, { length, originalLength })
    writer.close()
  } else {
    const writer = new PcapWriter(sink, { linkType })
    for (const frame of frames) writer.packet(...frame)
    writer.close()
  }
  return sink.bytes()
}

/** One end's stream: its bytes differ wherever a segment is sent again with others. */
interface End {
  address: IpAddress
  port: number
  /** Next sequence number, and what the other one has. */
  next: number
}

class Talk {
  readonly #random: Random
  readonly #mishaps: Mishaps
  readonly #framing: { linkType: number; vlan: boolean }
  readonly #version: 4 | 6
  readonly #ends: readonly [End, End]
  readonly #sent: Sent[] = []
  /** Microseconds. */
  now: number
  #id = 0

  constructor(
    random: Random,
    mishaps: Mishaps,
    index: number,
    over: number,
    framing: { linkType: number; vlan: boolean },
  ) {
    this.#random = random
    this.#mishaps = mishaps
    this.#framing = framing
    this.#version = random() < 0.35 ? 6 : 4
    const address = (host: number): IpAddress =>
      this.#version === 4 ? IpAddress.v4(0xc0000200 + host) : IpAddress.parse(`2001:db8::${host}`)!
    // A third of the streams wrap; ports are sometimes the same, so that conversations follow each other.
    const isn = (): number =>
      random() < 0.3 ? -Math.floor(random() * 3000) : Math.floor(random() * 2 ** 32) | 0
    const port = random() < 0.3 ? 40_000 : 40_000 + index
    this.#ends = [
      { address: address(1), port, next: isn() },
      { address: address(2), port: random() < 0.05 ? port : 9000, next: isn() },
    ]
    this.now = port === 40_000 ? over : index * 1000
    this.#id = index << 8
  }

  segments(): Sent[] {
    const random = this.#random
    const [client, server] = this.#ends
    if (random() < 0.8) {
      this.#send(client, server, { flags: SYN })
      if (random() < 0.2) this.#send(client, server, { flags: SYN }, client.next)
      client.next = (client.next + 1) | 0
      this.#send(server, client, { flags: SYN | ACK })
      server.next = (server.next + 1) | 0
      this.#send(client, server, { flags: ACK })
    }
    const count = 3 + Math.floor(random() * 60)
    for (let i = 0; i < count; i++) {
      const [from, to] = random() < 0.7 ? [client, server] : [server, client]
      this.#data(from, to)
      if (random() < 0.6) this.#send(to, from, { flags: ACK })
    }
    const end = random()
    if (end < 0.6) {
      this.#send(client, server, { flags: FIN | ACK })
      client.next = (client.next + 1) | 0
      this.#send(server, client, { flags: FIN | ACK })
      server.next = (server.next + 1) | 0
      this.#send(client, server, { flags: ACK })
    } else if (end < 0.8) this.#send(client, server, { flags: RST | ACK })
    return this.#sent
  }

  #data(from: End, to: End): void {
    const random = this.#random
    const { overlaps, holes, lost } = this.#mishaps
    const length = 1 + Math.floor(random() * random() * 1400)
    const payload = Uint8Array.from({ length }, () => random() * 256)
    if (random() < overlaps) {
      const back = Math.floor(random() * 1500)
      this.#send(from, to, { flags: ACK | PSH, payload }, (from.next - back) | 0)
      return
    }
    const seq = from.next
    from.next = (from.next + length) | 0
    if (random() < holes) return
    this.#send(from, to, { flags: ACK | PSH, payload }, seq)
    // It did not arrive, though it was captured: what is sent again may be cut otherwise.
    if (random() < lost)
      this.#send(from, to, { flags: ACK, payload: payload.subarray(0, 1 + (length >> 1)) }, seq)
  }

  #send(from: End, to: End, spec: TcpSpec, seq: number = from.next): void {
    const random = this.#random
    this.now += 10 + random() * 500
    const late = random() < this.#mishaps.reordered ? random() * 2000 : 0
    const ack = ((spec.flags ?? 0) & ACK) === 0 ? 0 : to.next
    const ports = { sourcePort: from.port, destinationPort: to.port }
    const pair = { source: from.address, destination: to.address }
    const segment = tcpSegment(this.#version, { ...spec, ...ports, seq: seq >>> 0, ack: ack >>> 0 }, pair)
    for (const packet of this.#packets(segment, pair)) {
      const frame = this.#framed(packet)
      this.#sent.push({ at: this.now + late, frame })
      if (random() < this.#mishaps.duplicates)
        this.#sent.push({ at: this.now + late + random() * 3000, frame })
    }
  }

  /** Now and then in fragments. */
  #packets(segment: Uint8Array, pair: { source: IpAddress; destination: IpAddress }): Uint8Array[] {
    const identification = ++this.#id
    const whole = segment.length < 400 || this.#random() > 0.05
    if (whole) return [this.#version === 4 ? ip4(segment, { ...pair, identification }) : ip6(segment, pair)]
    const cut = 8 * (1 + Math.floor(this.#random() * 40))
    const first = segment.subarray(0, cut)
    const last = segment.subarray(cut)
    if (this.#version === 6) {
      return [
        ip6(first, pair, [fragment6(0, true, identification)]),
        ip6(last, pair, [fragment6(cut, false, identification)]),
      ]
    }
    return [
      ip4(first, { ...pair, identification, fragment: 0x2000 }),
      ip4(last, { ...pair, identification, fragment: cut >> 3 }),
    ]
  }

  #framed(packet: Uint8Array): Uint8Array {
    const { linkType, vlan } = this.#framing
    const type = this.#version === 4 ? 0x0800 : 0x86dd
    const high = type >> 8
    const low = type & 255
    if (linkType === LINKTYPE_ETHERNET) return ether(type, packet, vlan ? { tags: [[0x8100, 7]] } : {})
    if (linkType === LINKTYPE_RAW) return packet
    const cooked = new Uint8Array(linkType === LINKTYPE_LINUX_SLL ? 16 : 20)
    if (linkType === LINKTYPE_LINUX_SLL) cooked.set([0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, high, low])
    else cooked.set([high, low, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1])
    return Uint8Array.of(...cooked, ...packet)
  }
}
