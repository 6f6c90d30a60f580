import type { Random } from './random.ts'

/** Integers at which programs err. */
const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 24, 28, 31, 32, 39, 40, 59, 60, 63, 64, 96, 127, 128, 255, 256,
  511, 512, 1023, 1024, 1500, 4095, 4096, 32_767, 32_768, 65_535, 65_536, 262_144, 262_145, 0x7fff_ffff,
  0x8000_0000, 0xffff_fff0, 0xffff_ffff,
]
const MOST_STEPS = 16
const MOST_DIFFERENCE = 35

type Step = (bytes: Uint8Array, random: Random, context: MutationContext) => Uint8Array

export interface MutationContext {
  /** What is spliced in. */
  readonly corpus: readonly { readonly bytes: Uint8Array }[]
  readonly dictionary: readonly Uint8Array[]
}

/** A changed copy of `bytes`, of at most `longest` bytes. */
export function mutate(
  bytes: Uint8Array,
  random: Random,
  context: MutationContext,
  longest: number,
): Uint8Array {
  let result: Uint8Array = bytes.slice()
  const steps = Math.min(MOST_STEPS, 2 ** random.below(5))
  for (let i = 0; i < steps; i++) result = random.pick(STEPS)(result, random, context)
  return result.length > longest ? result.slice(0, longest) : result
}

const flipBit: Step = (bytes, random) => {
  const at = random.below(bytes.length)
  if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << random.below(8))
  return bytes
}

const setByte: Step = (bytes, random) => {
  const at = random.below(bytes.length)
  if (at < bytes.length) bytes[at] = random.below(256)
  return bytes
}

const setInteger: Step = (bytes, random) => write(bytes, random, () => random.pick(INTERESTING))

const addInteger: Step = (bytes, random) => {
  const difference = 1 + random.below(MOST_DIFFERENCE)
  return write(bytes, random, (old) => (random.oneIn(2) ? old + difference : old - difference))
}

/** An integer of 1, 2 or 4 bytes in either byte order, anywhere. */
function write(bytes: Uint8Array, random: Random, change: (old: number) => number): Uint8Array {
  const size = random.pick([1, 2, 4])
  if (bytes.length < size) return bytes
  const at = random.below(bytes.length - size + 1)
  const little = random.oneIn(2)
  const order = Array.from({ length: size }, (_, i) => at + (little ? size - 1 - i : i))
  const value = change(order.reduce((sum, i) => sum * 256 + bytes[i]!, 0)) >>> 0
  for (const [i, where] of order.entries()) bytes[where] = value >>> (8 * (size - 1 - i))
  return bytes
}

const remove: Step = (bytes, random) => {
  if (bytes.length < 2) return bytes
  const at = random.below(bytes.length)
  return join(bytes.subarray(0, at), bytes.subarray(at + random.length(bytes.length - at)))
}

const cutEnd: Step = (bytes, random) => bytes.slice(0, random.below(bytes.length + 1))

const repeat: Step = (bytes, random) => {
  const at = random.below(bytes.length)
  const part = bytes.slice(at, at + random.length(bytes.length - at))
  return insert(bytes, random.below(bytes.length + 1), part)
}

const insertBytes: Step = (bytes, random) => {
  const part = new Uint8Array(random.length(64))
  const fill = random.oneIn(2) ? random.below(256) : -1
  for (let i = 0; i < part.length; i++) part[i] = fill < 0 ? random.below(256) : fill
  return insert(bytes, random.below(bytes.length + 1), part)
}

const copyOver: Step = (bytes, random) => {
  const from = random.below(bytes.length)
  const length = random.length(bytes.length - from)
  bytes.copyWithin(random.below(bytes.length), from, from + length)
  return bytes
}

const token: Step = (bytes, random, { dictionary }) => {
  if (dictionary.length === 0) return bytes
  const part = random.pick(dictionary)
  const at = random.below(bytes.length + 1)
  if (random.oneIn(2)) return insert(bytes, at, part)
  bytes.set(part.subarray(0, bytes.length - at), at)
  return bytes
}

const splice: Step = (bytes, random, { corpus }) => {
  if (corpus.length === 0) return bytes
  const other = random.pick(corpus).bytes
  const from = random.below(other.length)
  const part = other.subarray(from, from + random.length(Math.max(1, other.length - from)))
  const at = random.below(bytes.length + 1)
  if (random.oneIn(2)) return insert(bytes, at, part)
  bytes.set(part.subarray(0, bytes.length - at), at)
  return bytes
}

const STEPS: readonly Step[] = [
  flipBit,
  setByte,
  setByte,
  setInteger,
  setInteger,
  addInteger,
  remove,
  cutEnd,
  repeat,
  insertBytes,
  copyOver,
  token,
  splice,
]

function insert(bytes: Uint8Array, at: number, part: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length + part.length)
  result.set(bytes.subarray(0, at))
  result.set(part, at)
  result.set(bytes.subarray(at), at + part.length)
  return result
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  return insert(a, a.length, b)
}
