import { get16, get32, put16, put32 } from '../../../bytes.ts'
import { fold, sumBytes } from '../../../stack/wire/checksum.ts'
import { Capture, type Frame, merge, type PacketBuilder, packets } from '../../build/index.ts'
import { join, TUNNELS, unreachable, words } from './tunnels.ts'

/** Captures of what honest ends meet now and then, and a reader of captures easily gets wrong. */

const CLIENT = '192.0.2.1:40000'
const SERVER = '192.0.2.2:80'
const OFFERS = { mss: 1460, sackPermitted: true, windowScale: 7, timestamps: true }

const four = (port = 40_000) => packets({ client: `192.0.2.1:${port}`, server: SERVER })
const six = (port = 40_000) => packets({ client: `[2001:db8::1]:${port}`, server: '[2001:db8::2]:80' })

/** By file name. */
export const awkward: Readonly<Record<string, () => Capture>> = {
  'syn-answered-late.pcapng': () =>
    merge(
      // Two SYNs were lost in front of the server, which takes up nothing that they offer.
      repeatedSyn(four(), [1_050_000, 2_000_000])
        .synAck({ mss: 1460 })
        .ack()
        .client('hello ')
        .client('world')
        .ack('server')
        .server('answer')
        .ack()
        .close(),
      // Answered after minutes.
      repeatedSyn(six(40_001), [1_000_000, 2_000_000, 4_000_000, 180_000_000])
        .synAck({ mss: 1440, sackPermitted: true })
        .ack()
        .client('late')
        .ack('server')
        .server('later')
        .ack()
        .close(),
    ),

  'two-answers.pcapng': () =>
    merge(
      // The client takes the second; the first was lost behind the point of capture.
      packets({ client: CLIENT, server: SERVER, isn: { server: 1_400_000_000 } })
        .syn({ mss: 1460, windowScale: 7 })
        .synAck({ mss: 1460 })
        .mutate(renumbered)
        .lose()
        .syn({ seq: 0, mss: 1460, windowScale: 7, after: 1_000_000 })
        .synAck({ mss: 1460 })
        .ack()
        .client('hello\n')
        .ack('server')
        .server('world\n')
        .ack()
        .close(),
      // It takes the first, and the second comes late.
      packets({ client: '192.0.2.1:40001', server: SERVER, isn: { server: 5000 } })
        .handshake({ mss: 1460, timestamps: true })
        .client('hello\n')
        .ack('server')
        .synAck({ mss: 1460, timestamps: true, ack: 1 })
        .mutate(renumbered)
        .lose()
        .server('world\n')
        .ack()
        .close(),
    ),

  'answer-first.pcapng': () =>
    merge(
      four()
        .synAck({ mss: 1460, ack: 1 })
        .syn({ mss: 1460 })
        .ack()
        .client('hello\n')
        .ack('server')
        .server('world\n')
        .ack()
        .close(),
      six(40_001)
        .synAck({ mss: 1440, sackPermitted: true, ack: 1 })
        .ack('client', { seq: 1, ack: 1 })
        .syn({ ...OFFERS, timestamps: false })
        .client('hello\n')
        .ack('server')
        .close(),
    ),

  'stray-syn.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client('first\n')
      .ack('server')
      .syn({ seq: 76_777, mss: 1460 })
      .lose()
      .ack('server')
      .client('second\n')
      .ack('server')
      .server('answer\n')
      .ack()
      .close(),

  'tail-missing.pcapng': () =>
    merge(
      four().handshake().client('first ').ack('server').client('second').drop().ack('server').close(),
      // The server's, and no FIN of it; the client's FIN is there.
      six(40_001).handshake().server('first ').ack().server(2000).drop().ack().fin('client').ack('server'),
      // A FIN that nobody has acknowledged.
      four(40_002).handshake().client('first ').ack('server').client('second').lose().drop().fin('client', {
        seq: 13,
      }),
    ),

  'padded.pcapng': () =>
    merge(
      packets({ client: CLIENT, server: SERVER, pppoe: 9 })
        .handshake({ mss: 1452 })
        .client('hello\n')
        // The IP packet claims the padding; the session's length does not.
        .ack('server', { ipLength: 46 })
        .mutate((frame) => join(frame, new Uint8Array(6)))
        .server('world world\n')
        .ack()
        .close(),
      // An 802.3 frame: its length ends the packet, whose own is zero.
      four(40_001).handshake().client('hello\n', { ipLength: 0 }).mutate(withLength).ack('server').close(),
    ),

  'length-lie.pcapng': () =>
    merge(
      four()
        .handshake()
        .client('abc', { ipLength: 2000 })
        .lose()
        .client({ seq: 1, data: 'abc' })
        .ack('server')
        .close(),
      six(40_001)
        .handshake()
        .client('abc')
        .ack('server')
        .client('def', { ipLength: 2000 })
        .lose()
        .client({ seq: 4, data: 'def' })
        .ack('server')
        .close(),
    ),

  'bad-resets.pcapng': () =>
    merge(
      four().handshake(OFFERS).client(100).ack('server').rst('server', { checksum: 'bad' }),
      four(40_001).handshake(OFFERS).client(100).ack('server').rst('client', { checksum: 'bad' }),
      six(40_002).handshake(OFFERS).client(100).ack('server').rst('server', { seq: 70_000 }),
      four(40_003).handshake(OFFERS).client(100).ack('server').rst('client', { seq: 105 }),
      // And one that ends it.
      six(40_004).handshake(OFFERS).client(100).ack('server').rst('server'),
    ),

  'named-only.pcapng': () =>
    merge(
      // Quoted and never seen; quoted in front of its SYN; damaged behind its ports.
      four(50_000).raw(unreachable(four(40_010).client('x').list[0]!.bytes, 40), { from: 'server' }),
      four(50_000)
        .wait(1000)
        .raw(unreachable(four(40_001).syn().list[0]!.bytes, 40), { from: 'server' }),
      four(40_011).wait(2000).client('x', { dataOffset: 16 }),
      four(40_001).wait(3000).handshake().client('hello').ack('server').close(),
      four(40_002).wait(4000).handshake().client('there').ack('server').close(),
      // Quoted too little to be told.
      four(50_000)
        .wait(1500)
        .raw(unreachable(four(40_012).client('x').list[0]!.bytes, 28), { from: 'server' }),
    ),

  'tunnels.pcapng': () =>
    merge(
      ...Object.values(TUNNELS).map((tunnel, i) => {
        const ends = i % 3 === 2 ? six(40_000 + i) : four(40_000 + i)
        const capture = ends
          .wait(i * 10_000)
          .handshake(OFFERS)
          .client(300)
          .ack('server')
          .server(400)
          .ack()
          .close()
        return new Capture(() => capture.list.map((frame) => tunnelled(frame, tunnel)))
      }),
    ),
}

function repeatedSyn(capture: PacketBuilder, pauses: readonly number[]): PacketBuilder {
  capture.syn(OFFERS).lose()
  for (const after of pauses) capture.syn({ ...OFFERS, seq: 0, after }).lose()
  return capture.repeat({ after: 1000 })
}

/** Another initial sequence number of the server's, with a checksum that is right. */
function renumbered(frame: Uint8Array): Uint8Array {
  const seq = 38
  const before = sumBytes(frame, seq, 4)
  put32(frame, seq, (get32(frame, seq) + 1_400_000_000) | 0)
  const change = sumBytes(frame, seq, 4) + (~before & 0xffff)
  put16(frame, 50, ~fold((~get16(frame, 50) & 0xffff) + change) & 0xffff)
  return frame
}

/** As IEEE 802.3 with LLC and SNAP, padded. */
function withLength(frame: Uint8Array): Uint8Array {
  const packet = frame.subarray(14)
  const llc = [0xaa, 0xaa, 3, 0, 0, 0, frame[12]!, frame[13]!]
  return join(frame.subarray(0, 12), words(packet.length + 8), llc, packet, new Uint8Array(20))
}

function tunnelled(frame: Frame, tunnel: (bytes: Uint8Array) => Uint8Array): Frame {
  const bytes = tunnel(frame.bytes)
  return { ...frame, bytes, originalLength: bytes.length }
}
