import { readFileSync, statSync } from 'node:fs'
import { merge, packets } from '../../pcap/build/index.ts'
import { samples } from '../../pcap/samples/samples.ts'
import { sourceDirectory } from '../files.ts'

/** Small captures to begin with. */

const FOUR = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const SIX = { client: '[2001:db8::1]:40000', server: '[2001:db8::2]:80' }
const OFFERS = { mss: 1460, sackPermitted: true, windowScale: 7, timestamps: true }
const links = ['ethernet', 'sll', 'sll2', 'raw', 'null', 'loop'] as const

/** A few packets of every kind of link and header. */
export function smallCaptures() {
  const all = links.flatMap((link) =>
    [FOUR, SIX].map((ends) =>
      packets({ ...ends, link })
        .syn(OFFERS)
        .client('hi'),
    ),
  )
  const tagged = packets({ ...FOUR, vlan: [7, 8], pppoe: 3 })
    .syn()
    .client('x')
  const exchange = packets(FOUR)
    .handshake(OFFERS)
    .client('hello')
    .hold('first')
    .client('world')
    .ack('server', { sack: true })
    .release('first')
    .server(30)
    .close()
  const fragments = packets(SIX).handshake().client(60).fragment(32).ack('server').rst('server')
  return [...all, tagged, exchange, fragments, merge(exchange, fragments)]
}

/** The sample captures of at most `longest` bytes. */
export function sampleFiles(longest: number): Uint8Array[] {
  return samples
    .map(({ file }) => sourceDirectory('pcap', 'samples', file))
    .filter((path) => statSync(path).size <= longest)
    .map((path) => new Uint8Array(readFileSync(path)))
}

/** Numbers that the formats know. */
export const dictionary: readonly Uint8Array[] = [
  ...[0xa1b2c3d4, 0xa1b23c4d, 0x0a0d0d0a, 0x1a2b3c4d].flatMap((word) => [be32(word), be32(word).reverse()]),
  ...[1, 2, 3, 4, 5, 6, 0xbad, 28, 32, 262_144].flatMap((word) => [be32(word), be32(word).reverse()]),
  ...[0x0800, 0x86dd, 0x8100, 0x88a8, 0x8864, 0x0021, 0x0057, 113, 276, 101, 9, 14].map(be16),
  Uint8Array.of(0x45, 0),
  Uint8Array.of(0x60, 0, 0, 0),
  Uint8Array.of(2, 4, 5, 0xb4),
  Uint8Array.of(1, 1, 8, 10),
  Uint8Array.of(1, 1, 5, 10),
  Uint8Array.of(9, 0, 1, 0, 9, 0, 0, 0),
]

function be16(half: number): Uint8Array {
  return Uint8Array.of(half >>> 8, half)
}

function be32(word: number): Uint8Array {
  return Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word)
}
