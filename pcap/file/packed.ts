import { PcapError } from '../../errors.ts'

/** What files begin with that other programs have packed, and what unpacks them to standard output. */
const PACKERS: readonly {
  readonly name: string
  readonly begins: readonly number[]
  readonly unpack: string
}[] = [
  { name: 'zstd', begins: [0x28, 0xb5, 0x2f, 0xfd], unpack: 'zstd -dc' },
  { name: 'lz4', begins: [0x04, 0x22, 0x4d, 0x18], unpack: 'lz4 -dc' },
  { name: 'lz4', begins: [0x02, 0x21, 0x4c, 0x18], unpack: 'lz4 -dc' },
  { name: 'xz', begins: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], unpack: 'xz -dc' },
  { name: 'bzip2', begins: [0x42, 0x5a, 0x68], unpack: 'bzip2 -dc' },
  { name: 'lzip', begins: [0x4c, 0x5a, 0x49, 0x50], unpack: 'lzip -dc' },
  { name: 'compress', begins: [0x1f, 0x9d], unpack: 'gzip -dc' },
  { name: 'zip', begins: [0x50, 0x4b, 0x03, 0x04], unpack: 'unzip -p' },
]
/** Frames that zstd and lz4 pass over, the same for both: `5x 2a 4d 18`. */
const SKIPPED = [0x2a, 0x4d, 0x18]

/** The error for a file that is packed otherwise than with gzip; null when it does not look packed. */
export function packedOtherwise(bytes: Uint8Array): PcapError | null {
  const packer = PACKERS.find(({ begins }) => begins.every((byte, i) => bytes[i] === byte))
  if (packer !== undefined) return refusal(packer.name, `${packer.unpack} FILE`)
  const skipped = bytes[0] !== undefined && bytes[0] >>> 4 === 5
  if (!skipped || !SKIPPED.every((byte, i) => bytes[i + 1] === byte)) return null
  return refusal('zstd or lz4', 'zstd -dc FILE, or lz4 -dc FILE')
}

function refusal(name: string, command: string): PcapError {
  return new PcapError(
    'PCAP_COMPRESSION',
    `this is packed with ${name}, and only gzip is unpacked here`,
    0,
    `unpack it: ${command}; "-" reads standard input, as in ${command.split(',')[0]} | zcrxd replay -`,
  )
}
