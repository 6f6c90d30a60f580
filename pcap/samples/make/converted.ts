import { gzipSync } from 'node:zlib'
import { Capture, type Frame, merge, packets, type Side } from '../../build/index.ts'
import { type Framing, frame, linkTypes } from '../../build/link.ts'
import { CaptureReader } from '../../file/reader.ts'

const ETHERNET_BYTES = 14
const CLIENT_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)
const SERVER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2)

/** The frames of a recording, of Ethernet, as the builder's captures have them. */
export async function recorded(file: Uint8Array): Promise<Frame[]> {
  const frames: Frame[] = []
  for await (const {
    seconds,
    nanoseconds,
    bytes,
    at,
    length,
    wireLength,
    linkType,
  } of await CaptureReader.from(file)) {
    const from: Side = bytes[at + 11] === CLIENT_MAC[5] ? 'client' : 'server'
    frames.push({
      seconds,
      nanoseconds,
      bytes: bytes.slice(at, at + length),
      originalLength: wireLength,
      linkType,
      from,
      comment: '',
    })
  }
  return frames
}

function of(frames: Frame[]): Capture {
  return new Capture(() => frames)
}

/** The same packets in another link's frames. */
function reframed(frames: Frame[], how: Partial<Framing>): Capture {
  const framing: Framing = {
    link: 'ethernet',
    vlan: [],
    pppoe: null,
    mac: { client: CLIENT_MAC, server: SERVER_MAC },
    ...how,
  }
  return of(
    frames.map((each) => {
      const packet = each.bytes.subarray(ETHERNET_BYTES)
      const bytes = frame(framing, each.from, packet[0]! >>> 4 === 4 ? 4 : 6, packet)
      return { ...each, bytes, originalLength: bytes.length, linkType: linkTypes[framing.link] }
    }),
  )
}

/** Without the packets of these numbers, from 1. */
function without(frames: Frame[], ...numbers: number[]): Frame[] {
  return frames.filter((_, i) => !numbers.includes(i + 1))
}

function cut(frames: Frame[], bytes: number): Frame[] {
  return frames.map((each) => ({ ...each, bytes: each.bytes.slice(0, bytes) }))
}

interface Conversion {
  /** The recording that it is made of. */
  from: string
  make(frames: Frame[]): Uint8Array
}

/** By file name. */
export const converted: Readonly<Record<string, Conversion>> = {
  'middle.pcap': { from: 'bulk.pcap', make: (frames) => of(frames.slice(13)).pcap() },
  // Segments with data whose acknowledgements are there.
  'missing.pcap': { from: 'bulk.pcap', make: (frames) => of(withoutData(frames, 3, 9, 10, 20)).pcap() },
  'snaplen.pcap': { from: 'bulk.pcap', make: (frames) => of(cut(frames, 96)).pcap({ snapLength: 96 }) },
  'cut-short.pcap': { from: 'chat.pcap', make: (frames) => of(frames).pcap().subarray(0, -31) },
  'vlan.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { vlan: [42] }).pcap() },
  'qinq.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { vlan: [100, 42] }).pcap() },
  'pppoe.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { pppoe: 0x11 }).pcap() },
  'sll.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { link: 'sll' }).pcap() },
  'sll2.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { link: 'sll2' }).pcap() },
  'raw.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { link: 'raw' }).pcap() },
  'null.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { link: 'null' }).pcap() },
  'loop.pcap': { from: 'chat.pcap', make: (frames) => reframed(frames, { link: 'loop' }).pcap() },
  'little-us.pcap': { from: 'chat.pcap', make: (frames) => of(frames).pcap({ nanoseconds: false }) },
  'big-us.pcap': {
    from: 'chat.pcap',
    make: (frames) => of(frames).pcap({ nanoseconds: false, bigEndian: true }),
  },
  'little-ns.pcap': { from: 'chat.pcap', make: (frames) => of(frames).pcap() },
  'big-ns.pcap': { from: 'chat.pcap', make: (frames) => of(frames).pcap({ bigEndian: true }) },
  'little.pcapng': { from: 'chat.pcap', make: (frames) => of(frames).pcapng() },
  'big.pcapng': {
    from: 'chat.pcap',
    make: (frames) => of(frames).pcapng({ bigEndian: true, comment: 'big-endian' }),
  },
  'packed.pcap.gz': { from: 'chat.pcap', make: (frames) => gzipSync(of(frames).pcap()) },
  'packed.pcapng.gz': { from: 'chat.pcap', make: (frames) => gzipSync(of(frames).pcapng()) },
  'interfaces.pcapng': {
    from: 'chat.pcap',
    make: (frames) => {
      const [first] = frames
      const start = first!.seconds + Math.floor(first!.nanoseconds / 1000) / 1e6
      const other = packets({ client: '[2001:db8::1]:40001', server: '[2001:db8::2]:80', start, link: 'raw' })
      other.handshake({ comment: 'on another interface' }).client(200).ack('server').close()
      return merge(of(frames), other).pcapng()
    },
  },
}

/** Without the n-th, ... of the client's segments with data. */
function withoutData(frames: Frame[], ...numbers: number[]): Frame[] {
  const data = frames.flatMap((each, i) => (each.from === 'client' && each.bytes.length > 200 ? [i + 1] : []))
  return without(frames, ...numbers.map((n) => data[n - 1]!))
}
