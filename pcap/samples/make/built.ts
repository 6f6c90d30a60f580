import { type Capture, merge, packets } from '../../build/index.ts'
import { awkward } from './awkward.ts'

/** Captures that no honest TCP makes, and what needs no Linux. Data that comes twice with different bytes is written so
 * that the copy that came first is also the one in front in the stream: every reading of "the first one counts" gives the same. */

const CLIENT = '192.0.2.1:40000'
const SERVER = '192.0.2.2:80'
const CLIENT6 = '[2001:db8::1]:40000'
const SERVER6 = '[2001:db8::2]:80'
const OFFERS = { mss: 1460, sackPermitted: true, windowScale: 7, timestamps: true }

const four = (port = 40_000) => packets({ client: `192.0.2.1:${port}`, server: SERVER })
const six = (port = 40_000) => packets({ client: `[2001:db8::1]:${port}`, server: SERVER6 })

/** By file name; `.pcap` is written in that format, with microseconds. */
export const built: Readonly<Record<string, () => Capture>> = {
  'overlap-delivered.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client('a'.repeat(300))
      .ack('server')
      .client({ seq: 201, data: 'B'.repeat(300) })
      .ack('server')
      .client({ seq: 1, data: 'C'.repeat(500) })
      .ack('server')
      .client('d'.repeat(50))
      .ack('server')
      .close(),

  'overlap-queued.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client({ seq: 101, data: 'b'.repeat(100) })
      .ack('server', { sack: true })
      .client({ seq: 151, data: 'C'.repeat(150) })
      .ack('server', { sack: true })
      .client({ seq: 401, data: 'e'.repeat(10) })
      .ack('server', { sack: true })
      .client({ seq: 1, data: 'a'.repeat(100) })
      .ack('server', { sack: true })
      .client({ seq: 301, data: 'd'.repeat(100) })
      .ack('server')
      .fin('client', { seq: 411 })
      .fin('server')
      .ack('client', { seq: 412 }),

  'lying-lengths.pcapng': () =>
    merge(
      // Each lie is followed by the same bytes in an honest segment.
      four(40_000)
        .handshake()
        .client('x', { ipLength: 1400 })
        .lose()
        .client({ seq: 1, data: 'x' })
        .ack('server')
        .close(),
      four(40_001)
        .handshake()
        .client('0123456789', { ipLength: 45 })
        .lose()
        .client({ seq: 1, data: '0123456789' })
        .ack('server')
        .close(),
      four(40_002)
        .handshake()
        .client('x', { ipLength: 20 })
        .lose()
        .client({ seq: 1, data: 'x' })
        .ack('server')
        .close(),
      four(40_003)
        .handshake()
        .client('x', { dataOffset: 60 })
        .lose()
        .client({ seq: 1, data: 'x' })
        .ack('server')
        .close(),
      four(40_004)
        .handshake()
        .client('x', { dataOffset: 16 })
        .lose()
        .client({ seq: 1, data: 'x' })
        .ack('server')
        .close(),
      six(40_005)
        .handshake()
        .client('x', { ipLength: 0 })
        .lose()
        .client({ seq: 1, data: 'x' })
        .ack('server')
        .close(),
      six(40_006)
        .handshake()
        .client('x', { ipLength: 1400 })
        .lose()
        .client({ seq: 1, data: 'x' })
        .ack('server')
        .close(),
    ),

  'bad-options.pcapng': () =>
    merge(
      four(40_000)
        .syn({ mss: 1000, options: Uint8Array.of(3, 0, 0, 0) })
        .synAck()
        .ack()
        .client('length zero')
        .ack('server')
        .close(),
      four(40_001)
        .syn({ options: Uint8Array.of(2, 1, 5, 180) })
        .synAck()
        .ack()
        .client('length one')
        .ack('server')
        .close(),
      four(40_002)
        .syn({ options: Uint8Array.of(1, 1, 2, 40) })
        .synAck()
        .ack()
        .client('too long')
        .ack('server')
        .close(),
      four(40_003)
        .handshake()
        .client('of zeros', { options: new Uint8Array(40) })
        .ack('server')
        .close(),
      four(40_004)
        .syn({ options: Uint8Array.of(1, 1, 1, 2) })
        .synAck()
        .ack()
        .client('cut')
        .ack('server')
        .close(),
      four(40_005)
        .handshake({ ...OFFERS, timestamps: false })
        .client('sack of nothing', { sack: [[5, 5]] })
        .ack('server', { sack: [[900, 100]] })
        .close(),
    ),

  'land.pcapng': () => packets({ client: SERVER, server: SERVER }).syn().synAck().ack(),

  'urgent.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client('before')
      .ack('server')
      .client({ data: 'hello!', flags: 'PUA', urgent: 6 })
      .ack('server')
      .client({ data: 'behind', flags: 'PUA', urgent: 65_535 })
      .ack('server')
      .client({ data: 'zero', flags: 'UA', urgent: 0 })
      .ack('server')
      .close(),

  'tiny-segments.pcapng': () => {
    const capture = four().handshake(OFFERS)
    for (let i = 0; i < 150; i++) capture.client(1).server(1)
    return capture.ack().close()
  },

  'syn-flood.pcap': () => {
    const floods = Array.from({ length: 1000 }, (_, i) =>
      packets({
        client: `198.51.100.${1 + (i % 250)}:${1024 + i}`,
        server: SERVER,
        start: 1_700_000_000 + i / 1e5,
        isn: { client: Math.imul(i, 0x9e3779b1) >>> 0 },
        link: 'raw',
      }).syn(),
    )
    return merge(...floods)
  },

  'rst-injected.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client(100)
      .ack('server')
      .rst('client', { seq: 5_000_000, flags: 'R', ttl: 250 })
      .ack('server')
      .rst('server', { seq: 900_000, ttl: 250 })
      .ack('client')
      .client(100)
      .ack('server')
      .server(100)
      .ack()
      .close(),

  'syn-injected.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client(100)
      .ack('server')
      .send('client', { seq: 70_000, flags: 'SA', ttl: 250 })
      .ack('server')
      .server(100)
      .ack()
      .close(),

  'fin-early.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client(200)
      .hold('first')
      .client(200)
      .hold('second')
      .fin('client', { data: 50 })
      .ack('server', { sack: true })
      .release('second')
      .ack('server', { sack: true })
      .release('first')
      .ack('server')
      .fin('server')
      .ack('client'),

  'zero-probes.pcapng': () =>
    four()
      .handshake(OFFERS)
      .client(300)
      .ack('server', { window: 0 })
      .client({ seq: 300, data: '', after: 200_000 })
      .ack('server', { window: 0 })
      .client({ seq: 301, data: 1, after: 400_000 })
      .lose()
      .ack('server', { window: 0 })
      .client({ seq: 301, data: 1, after: 800_000 })
      .lose()
      .ack('server', { window: 0 })
      .ack('server', { window: 500, after: 300_000 })
      .client({ seq: 301, data: 400 })
      .ack('server')
      .close(),

  'bad-checksums.pcapng': () =>
    merge(
      four()
        .handshake(OFFERS)
        .client(100, { checksum: 'bad' })
        .client({ seq: 1, data: 100, after: 200_000 })
        .ack('server')
        .server(100, { checksum: 'bad' })
        .server({ seq: 1, data: 100, after: 200_000 })
        .ack()
        .close(),
      six(40_001)
        .handshake(OFFERS)
        .client(100, { checksum: 'bad' })
        .client({ seq: 1, data: 100, after: 200_000 })
        .ack('server')
        .close(),
    ),

  'fragments-hostile.pcapng': () =>
    merge(
      four(40_000)
        .handshake()
        .client(100)
        .fragment(8)
        .ack('server')
        .client(100)
        .fragment(16, { order: [7, 6, 5, 4, 3, 2, 1, 0] })
        .ack('server')
        .close(),
      // The same fragments twice, and a datagram of which one never comes.
      four(40_001)
        .handshake()
        .client(200)
        .fragment(64, { order: [0, 0, 1, 1, 2, 3, 3] })
        .ack('server')
        .client(200)
        .fragment(64, { order: [0, 2, 3] })
        .lose()
        .client({ seq: 201, data: 200 })
        .ack('server')
        .close(),
      six(40_002)
        .handshake()
        .client(1000)
        .fragment(400)
        .ack('server')
        .client(1000)
        .fragment(400, { order: [2, 0, 1] })
        .ack('server')
        .close(),
    ),

  'ip-headers.pcapng': () =>
    merge(
      four(40_000)
        .handshake()
        .client('ipv4 options', { ipOptions: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0) })
        .ack('server')
        .close(),
      six(40_001)
        .handshake()
        .client('hop by hop and destination options', {
          extensions: [
            [0, Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0)],
            [60, Uint8Array.of(0, 1, 1, 12, ...new Uint8Array(12))],
          ],
        })
        .ack('server')
        .client('routing', { extensions: [[43, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0)]] })
        .ack('server')
        .close(),
      // Ethernet pads short frames: the padding is not payload.
      four(40_002)
        .handshake()
        .client('x')
        .mutate(pad)
        .ack('server')
        .mutate(pad)
        .client('y')
        .mutate(pad)
        .ack('server')
        .close(),
    ),

  'partial-checksums.pcap': () =>
    packets({ client: CLIENT6, server: SERVER6, checksum: 'partial' })
      .handshake(OFFERS)
      .client(3000)
      .ack('server')
      .server(6000)
      .ack()
      .close(),

  'one-sided.pcapng': () => {
    const capture = packets({ client: CLIENT, server: SERVER }).syn(OFFERS).synAck(OFFERS).drop().ack()
    for (let i = 0; i < 6; i++) capture.client(500).ack('server').drop()
    return capture.server(300).drop().ack('client').fin('client').fin('server').drop().ack('client')
  },

  ...awkward,
}

function pad(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.max(60, bytes.length)).fill(0xee)
  padded.set(bytes)
  return padded
}
