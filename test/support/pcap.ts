import { closeSync, openSync, writeSync } from 'node:fs'
import type { LinkDirection } from '../../driver/memory/index.ts'

const MAGIC_MICROSECONDS = 0xa1b2c3d4
const LINKTYPE_ETHERNET = 1
const LARGEST_FRAME = 262_144

/** A capture file of Ethernet frames, in the classic format. */
export class PcapFile {
  readonly path: string
  frames = 0
  readonly #fd: number

  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'w')
    const head = new DataView(new ArrayBuffer(24))
    head.setUint32(0, MAGIC_MICROSECONDS, true)
    head.setUint16(4, 2, true)
    head.setUint16(6, 4, true)
    head.setUint32(16, LARGEST_FRAME, true)
    head.setUint32(20, LINKTYPE_ETHERNET, true)
    writeSync(this.#fd, new Uint8Array(head.buffer))
  }

  /** @param us when, microseconds */
  add(frame: Uint8Array, us: number = performance.now() * 1000): void {
    const record = new Uint8Array(16 + frame.length)
    const head = new DataView(record.buffer)
    head.setUint32(0, Math.floor(us / 1e6), true)
    head.setUint32(4, Math.floor(us % 1e6), true)
    head.setUint32(8, frame.length, true)
    head.setUint32(12, frame.length, true)
    record.set(frame, 16)
    writeSync(this.#fd, record)
    this.frames++
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Writes every frame that one end puts on a memory link, before the link does anything to it. */
export function tap(direction: LinkDirection, file: PcapFile, now: () => number): void {
  const send = direction.send.bind(direction)
  direction.send = (memory, offset, length) => {
    file.add(memory.subarray(offset, offset + length), now())
    send(memory, offset, length)
  }
}
