import { gzipSync } from 'node:zlib'
import { PcapError } from '../../errors.ts'
import { CapturedPacket } from '../../pcap/file/packet.ts'
import { CaptureReader } from '../../pcap/file/reader.ts'
import type { Target } from '../fuzzer.ts'
import { dictionary, sampleFiles, smallCaptures } from './seeds.ts'

/** Bytes of the largest sample that is begun with. */
const LARGEST_SEED = 8192

/** What a reader makes of a file: the packets, and how it ends. */
export async function readAll(input: Uint8Array | AsyncIterable<Uint8Array>): Promise<string[]> {
  const seen: string[] = []
  try {
    const reader = await CaptureReader.from(input)
    try {
      const packet = new CapturedPacket()
      do while (reader.next(packet)) seen.push(describe(reader, packet))
      while (await reader.fill())
      seen.push(`end at ${reader.offset}, ${reader.interfaces.length} interfaces`)
    } finally {
      reader.close()
    }
  } catch (error) {
    if (!(error instanceof PcapError)) throw error
    seen.push(`${error.code} at ${error.offset}`)
  }
  return seen
}

function describe(reader: CaptureReader, packet: CapturedPacket): string {
  const { bytes, at, length, wireLength, seconds, nanoseconds, linkType, number } = packet
  const sound =
    at >= 0 &&
    length >= 0 &&
    at + length <= bytes.length &&
    wireLength >= length &&
    Number.isFinite(seconds) &&
    nanoseconds >= 0 &&
    nanoseconds < 1e9 &&
    number === reader.count &&
    packet.interface < reader.interfaces.length
  if (!sound)
    throw new Error(`packet ${number} is not sound: ${JSON.stringify({ ...packet, bytes: bytes.length })}`)
  const copy = packet.copy()
  const part = Buffer.from(copy.bytes.subarray(copy.at, copy.at + copy.length)).toString('latin1')
  const about = [
    number,
    seconds,
    nanoseconds,
    wireLength,
    linkType,
    packet.direction,
    packet.comments.join('|'),
  ]
  return `${about.join(' ')} ${part}`
}

/** Read in pieces of any size, a file says the same. */
async function sameInPieces(bytes: Uint8Array): Promise<void> {
  const whole = await readAll(bytes)
  const size = 1 + ((bytes.length * 7) % 61)
  const parts = await readAll(pieces(bytes, size))
  if (isDamaged(whole) || isDamaged(parts)) {
    // How much is unpacked in front of the damage depends on the pieces; the packets that are, must be the same.
    const common = Math.min(whole.length, parts.length) - 1
    if (whole.slice(0, common).every((line, i) => line === parts[i])) return
  }
  if (whole.length === parts.length && whole.every((line, i) => line === parts[i])) return
  throw new Error(`read in pieces of ${size} bytes, the file says something else`)
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
}

/** It ended where packed bytes could not be unpacked. */
const isDamaged = (lines: readonly string[]): boolean =>
  lines.at(-1)?.startsWith('PCAP_COMPRESSION ') === true

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f
const isPcapng = (bytes: Uint8Array): boolean => bytes[0] === 0x0a

const plainSamples = (): Uint8Array[] => sampleFiles(LARGEST_SEED).filter((bytes) => !isGzip(bytes))

export const pcap: Target = {
  name: 'pcap',
  run: sameInPieces,
  seeds: () => [
    ...smallCaptures()
      .slice(0, -1)
      .flatMap((capture) => [capture.pcap(), capture.pcap({ bigEndian: true, nanoseconds: false })]),
    ...plainSamples().filter((bytes) => !isPcapng(bytes)),
  ],
  dictionary,
}

export const pcapng: Target = {
  name: 'pcapng',
  run: sameInPieces,
  seeds: () => [
    ...smallCaptures().flatMap((capture) => [
      capture.pcapng(),
      capture.pcapng({ bigEndian: true, comment: 'x' }),
    ]),
    ...plainSamples().filter(isPcapng),
  ],
  dictionary,
}

/** A first byte below 128 says that the rest is packed before it is read; else it is the packed file itself. */
export const gzip: Target = {
  name: 'gzip',
  run: async (bytes) => {
    const packed = (bytes[0] ?? 0) < 128
    await readAll(packed ? gzipSync(bytes.subarray(1), { level: 1 }) : bytes.subarray(1))
  },
  seeds: () => [
    ...smallCaptures()
      .slice(-3)
      .flatMap((capture) => [
        Uint8Array.of(0, ...capture.pcapng()),
        Uint8Array.of(255, ...gzipSync(capture.pcapng())),
      ]),
  ],
  dictionary: [...dictionary, Uint8Array.of(0x1f, 0x8b, 8, 0)],
}
