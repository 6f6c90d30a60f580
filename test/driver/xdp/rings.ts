import { ADDRESS_WORDS, DESCRIPTOR_WORDS, DescriptorRing } from '../../../driver/xdp/descriptor-ring.ts'

const LAYOUT = { producer: 0, consumer: 64, flags: 128, descriptors: 192 }

/** A ring in ordinary memory, with the kernel's side of it for tests. `start` sets both indexes, to test wrapping. */
export function fakeRing(entries: number, words: number, start = 0) {
  const buffer = new ArrayBuffer(DescriptorRing.bytes(LAYOUT, entries, words))
  const control = new Int32Array(buffer)
  control[0] = start
  control[16] = start
  const ring = new DescriptorRing(buffer, LAYOUT, entries)
  const at = (index: number): number => ring.first + (index & ring.mask) * words
  return {
    ring,
    /** Descriptors nobody has consumed. */
    waiting: (): number => (control[0]! - control[16]!) | 0,
    setFlags(flags: number): void {
      control[32] = flags
    },
    /** The kernel produces one descriptor. */
    produce(...descriptor: number[]): void {
      ring.words.set(descriptor, at(control[0]!))
      control[0] = (control[0]! + 1) | 0
    },
    /** The kernel consumes one descriptor. */
    consume(): number[] {
      const from = at(control[16]!)
      control[16] = (control[16]! + 1) | 0
      return [...ring.words.subarray(from, from + words)]
    },
  }
}

export const fakeAddressRing = (entries: number, start?: number) => fakeRing(entries, ADDRESS_WORDS, start)
export const fakeDescriptorRing = (entries: number, start?: number) =>
  fakeRing(entries, DESCRIPTOR_WORDS, start)
