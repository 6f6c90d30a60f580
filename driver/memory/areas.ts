import type { NicMemory } from '../nic.ts'

const NOTHING = new Uint8Array(0)

/** The areas a NIC may write to, by number. Chunks are numbered through all of them. */
export class AreaTable {
  /** The bytes of each area; nothing where one was taken away. */
  readonly bytes: Uint8Array[] = []
  /** The number of each area's first chunk, rising, and that of the one behind its last. */
  readonly first: number[] = []
  readonly end: number[] = []

  /** Begins anew with one area, or none. */
  reset(memory: NicMemory | null): void {
    this.bytes.length = this.first.length = this.end.length = 0
    if (memory !== null) this.add(memory, 0, 0)
  }

  add({ buffer, areaOffset, areaLength, chunkSize }: NicMemory, area: number, firstChunk: number): void {
    // Where there were areas that are gone, the table has entries that nothing lies in.
    while (this.bytes.length < area) this.#put(NOTHING, firstChunk, firstChunk)
    this.#put(new Uint8Array(buffer, areaOffset, areaLength), firstChunk, firstChunk + areaLength / chunkSize)
  }

  remove(area: number): void {
    this.bytes[area] = NOTHING
  }

  /** Chunks up to the end of the last area. */
  get total(): number {
    return this.end.at(-1) ?? 0
  }

  /** The number of the area that a chunk lies in. */
  areaOf(chunk: number): number {
    let area = this.first.length - 1
    while (chunk < this.first[area]!) area--
    return area
  }

  #put(bytes: Uint8Array, first: number, end: number): void {
    this.bytes.push(bytes)
    this.first.push(first)
    this.end.push(end)
  }
}
