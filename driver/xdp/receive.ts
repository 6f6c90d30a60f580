import { ArgumentError } from '../../errors.ts'
import { type NicStats, RX_MORE, type RxBurst } from '../nic.ts'
import { ADDRESS_WORDS, DESCRIPTOR_WORDS, type DescriptorRing, PACKET_CONTINUES } from './descriptor-ring.ts'

/**
 * The receive side: chunks go in through the fill ring and come back through the rx ring. Addresses in the rings count
 * from the start of the area. No allocation, no exception and no native call per packet.
 */
export class ReceivePath {
  readonly #rx: DescriptorRing
  readonly #fill: DescriptorRing
  /** Frames, fragments, bytes, invalid. Not in an object: its fields would change shape when they outgrow 31 bits. */
  readonly #counters = new Float64Array(4)
  readonly #areaLength: number
  readonly #chunkSize: number
  readonly #shift: number
  readonly #chunks: number
  readonly #wake: () => void
  #consumer: number
  #producer: number
  #held = 0
  /** The rest of the frame that is being read is thrown away. */
  #skipping = false
  /** Chunks of frames that were thrown away; they go back into the fill ring first. */
  readonly #recovered: Uint32Array
  #recoveredCount = 0

  /** @param wake called when the kernel has stopped to look at the fill ring and wants to be told */
  constructor(
    rx: DescriptorRing,
    fill: DescriptorRing,
    areaLength: number,
    chunkSize: number,
    wake: () => void,
  ) {
    this.#rx = rx
    this.#fill = fill
    this.#areaLength = areaLength
    this.#chunkSize = chunkSize
    this.#shift = Math.log2(chunkSize)
    this.#chunks = areaLength / chunkSize
    this.#wake = wake
    this.#consumer = rx.loadConsumer()
    this.#producer = fill.loadProducer()
    this.#recovered = new Uint32Array(this.#chunks)
  }

  /** Chunks given and not yet handed to the stack, those waiting to be given again included. */
  get held(): number {
    return this.#held
  }

  addCounters(stats: NicStats): void {
    const [frames, fragments, bytes, invalid] = this.#counters
    stats.rxFrames += frames!
    stats.rxFragments += fragments!
    stats.rxBytes += bytes!
    stats.rxInvalid += invalid!
  }

  /** Whether descriptors wait. */
  pending(): boolean {
    return this.#rx.loadProducer() !== this.#consumer
  }

  receive(burst: RxBurst): number {
    const { words, first, mask } = this.#rx
    const { offset, length, flags, capacity } = burst
    const counters = this.#counters
    const areaLength = this.#areaLength
    const chunkSize = this.#chunkSize
    const start = this.#consumer
    const available = (this.#rx.loadProducer() - start) | 0
    let seen = 0
    let consumed = 0 // descriptors of frames that are finished one way or the other
    let count = 0 // fragments of whole frames in the burst
    let fragments = 0 // fragments of the frame being read, behind those
    let frameBytes = 0
    let frames = 0
    let received = 0
    while (seen < available) {
      if (count + fragments === capacity) {
        if (count > 0) break
        this.#drop(burst, fragments)
        fragments = 0
      }
      const at = first + ((start + seen) & mask) * DESCRIPTOR_WORDS
      const address = words[at]!
      const bytes = words[at + 2]!
      const more = words[at + 3]! & PACKET_CONTINUES
      const known = words[at + 1] === 0 && address < areaLength
      seen++
      const valid = known && bytes > 0 && bytes <= chunkSize - (address & (chunkSize - 1))
      if (!valid || this.#skipping) {
        if (!this.#skipping) this.#drop(burst, fragments, count)
        fragments = 0
        frameBytes = 0
        if (known) this.#recover(address >>> this.#shift)
        this.#skipping = more !== 0
        consumed = seen
        continue
      }
      const slot = count + fragments
      offset[slot] = address
      length[slot] = bytes
      flags[slot] = more === 0 ? 0 : RX_MORE
      fragments++
      frameBytes += bytes
      if (more === 0) {
        count += fragments
        fragments = 0
        consumed = seen
        frames++
        received += frameBytes
        frameBytes = 0
      }
    }
    burst.count = count
    if (consumed > 0) {
      this.#consumer = (start + consumed) | 0
      this.#rx.storeConsumer(this.#consumer)
      this.#held -= count
      counters[0]! += frames
      counters[1]! += count
      counters[2]! += received
    }
    return count
  }

  /** Free entries of the fill ring, less those that recovered chunks will take. */
  space(): number {
    return Math.max(0, this.#free() - this.#recoveredCount)
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    const { words, first, mask } = this.#fill
    const shift = this.#shift
    if (this.#recoveredCount > 0) this.#giveAgain()
    const taken = Math.max(0, Math.min(count, this.#free(), chunks.length - from))
    const start = this.#producer - from
    for (let i = from; i < from + taken; i++) {
      const chunk = chunks[i]!
      // Behind the area lie the frames to be sent: the kernel would take such a chunk, and overwrite them.
      if (chunk >= this.#chunks)
        throw new ArgumentError(`chunk ${chunk} is outside the area of ${this.#chunks} chunks`)
      const at = first + ((start + i) & mask) * ADDRESS_WORDS
      words[at] = chunk << shift
      words[at + 1] = 0
    }
    if (taken > 0) {
      this.#held += taken
      this.#publish(taken)
    }
    return taken
  }

  /** Recovered chunks go first. They are held already. */
  #giveAgain(): void {
    const { words, first, mask } = this.#fill
    const count = Math.min(this.#recoveredCount, this.#free())
    for (let i = 0; i < count; i++) {
      const at = first + ((this.#producer + i) & mask) * ADDRESS_WORDS
      words[at] = this.#recovered[--this.#recoveredCount]! << this.#shift
      words[at + 1] = 0
    }
    if (count > 0) this.#publish(count)
  }

  #publish(count: number): void {
    this.#producer = (this.#producer + count) | 0
    this.#fill.storeProducer(this.#producer)
    if (this.#fill.needsWakeup()) this.#wake()
  }

  #free(): number {
    return this.#fill.entries - ((this.#producer - this.#fill.loadConsumer()) | 0)
  }

  /** Gives up the frame whose first fragments lie in the burst behind `from`. */
  #drop(burst: RxBurst, fragments: number, from = 0): void {
    this.#counters[3]!++
    this.#skipping = true
    for (let i = from; i < from + fragments; i++) this.#recover(burst.offset[i]! >>> this.#shift)
  }

  #recover(chunk: number): void {
    if (this.#recoveredCount < this.#chunks) this.#recovered[this.#recoveredCount++] = chunk
  }
}
