import { createCipheriv, createHash } from 'node:crypto'

/**
 * What the demo sends. Every flow has 256 KiB of pseudo-random bytes of its own, repeated; at every multiple of 4 KiB of the
 * stream 8 bytes are overwritten with a stamp: the multiple's number (48 bits) and the flow's (16 bits), little-endian.
 * So no two places of no two streams look alike, a digest covers order and completeness, and a receiver that knows only
 * a position can check it.
 */

export const BLOCK_BYTES = 256 * 1024
export const STAMP_STRIDE = 4096
export const STAMP_BYTES = 8
/** A sampling receiver looks at the stamps at these multiples. */
export const SAMPLE_STRIDE = 64 * 1024

/** Highest flow number and bytes of a flow that a stamp can name. */
export const MAX_FLOWS = 0xffff
export const MAX_FLOW_BYTES = 2 ** 48

/** The flow's 256 KiB, without stamps. */
export function contentBlock(flow: number): Buffer {
  const key = createHash('sha256').update(`zcrx demo flow ${flow}`).digest().subarray(0, 16)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(BLOCK_BYTES))
}

/** Hands out a flow's stream block by block, in a ring of buffers that it uses again. */
export class ContentSource {
  readonly #flow: number
  readonly #bytes: number
  readonly #ring: { readonly buffer: Buffer; readonly view: DataView }[]
  #position = 0

  /**
   * @param flow 0 to 65535
   * @param bytes of the whole stream
   * @param buffers blocks that may be in use at once: a block is valid until `buffers` more were taken
   */
  constructor(flow: number, bytes: number, buffers: number) {
    this.#flow = flow
    this.#bytes = bytes
    const block = contentBlock(flow)
    this.#ring = Array.from({ length: buffers }, () => {
      const buffer = Buffer.from(block)
      return { buffer, view: new DataView(buffer.buffer, buffer.byteOffset, buffer.length) }
    })
  }

  /** The stream's next block, the last one shorter; undefined at its end. */
  take(): Buffer | undefined {
    const length = Math.min(BLOCK_BYTES, this.#bytes - this.#position)
    if (length <= 0) return undefined
    const { buffer, view } = this.#ring[(this.#position / BLOCK_BYTES) % this.#ring.length]!
    let number = this.#position / STAMP_STRIDE
    for (let at = 0; at < length; at += STAMP_STRIDE, number += 1) {
      view.setUint32(at, number >>> 0, true)
      view.setUint16(at + 4, Math.floor(number / 2 ** 32), true)
      view.setUint16(at + 6, this.#flow, true)
    }
    this.#position += length
    return length === BLOCK_BYTES ? buffer : buffer.subarray(0, length)
  }
}

/** Checks stamps of one stream as it arrives in pieces. Costs a comparison a piece, and a few bytes every 64 KiB. */
export class Sampler {
  /** Whole stamps looked at. */
  checked = 0
  /** Stamps with a wrong byte. */
  wrong = 0
  #position = 0
  #sample = 0
  #sampleWrong = false
  #flowLow = -1
  #flowHigh = -1

  /** Takes the stream's next bytes, `[offset, offset + length)` of `bytes`. */
  update(bytes: Uint8Array, offset: number, length: number): void {
    const end = this.#position + length
    while (this.#sample < end) {
      const from = Math.max(this.#position, this.#sample)
      const to = Math.min(end, this.#sample + STAMP_BYTES)
      for (let at = from; at < to; at += 1) {
        if (!this.#isRight(at - this.#sample, bytes[offset + at - this.#position]!)) this.#sampleWrong = true
      }
      if (to < this.#sample + STAMP_BYTES) break
      this.checked += 1
      if (this.#sampleWrong) this.wrong += 1
      this.#sampleWrong = false
      this.#sample += SAMPLE_STRIDE
    }
    this.#position = end
  }

  #isRight(index: number, value: number): boolean {
    if (index < 6) return value === Math.floor(this.#sample / STAMP_STRIDE / 2 ** (8 * index)) % 256
    // Which flow it is the first stamp says; the others must agree.
    if (index === 6) {
      if (this.#flowLow < 0) this.#flowLow = value
      return value === this.#flowLow
    }
    if (this.#flowHigh < 0) this.#flowHigh = value
    return value === this.#flowHigh
  }
}

/** Bytes of each flow: `bytes` split as evenly as it goes, the first flows taking what is left over. */
export function splitBytes(bytes: number, flows: number): number[] {
  const each = Math.floor(bytes / flows)
  return Array.from({ length: flows }, (_, flow) => each + (flow < bytes % flows ? 1 : 0))
}
