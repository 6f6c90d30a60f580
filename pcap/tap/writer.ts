import { type Nic, type NicMemory, RX_MORE, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import type { PcapError } from '../../errors.ts'
import { checkBoolean, checkFunction, checkInteger, checkObject } from '../check.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND, LINKTYPE_ETHERNET } from '../file/format.ts'
import { CaptureClock, type CaptureClockOptions } from './clock.ts'
import { ConnectionNames, HEADER_BYTES } from './connection.ts'
import { type CaptureFileOptions, CaptureFiles } from './files.ts'
import { NicDrops } from './nic-drops.ts'

/** What a `CaptureNic` writes, and where. */
export interface CaptureNicOptions extends CaptureFileOptions, CaptureClockOptions {
  /** Most bytes of a frame that are written, at least 1; default all. */
  snapLength?: number
  /** Say with each received frame what became of it, which connection it is of and where it lies. Default true. */
  comments?: boolean
  /**
   * Told once, outside of what the NIC was asked to do, when the capture can't be written any more. Whatever it throws is
   * an uncaught exception.
   */
  onError?: (error: PcapError) => void
}

/** What the comment of a frame says whose fate nobody has told. */
const UNSETTLED = 'not settled: the stack did not say what became of it'
/** A packet's block without its bytes and comment. */
const BLOCK_BYTES = 96

interface Area {
  readonly bytes: Uint8Array
  readonly shift: number
}

/** Writes the frames of one NIC. Nothing here throws at who uses the NIC, but the constructor. */
export class CaptureWriter {
  received = 0
  sent = 0
  missed = 0
  failed: PcapError | null = null
  readonly #nic: Nic
  readonly #files: CaptureFiles
  readonly #clock: CaptureClock
  readonly #drops: NicDrops
  readonly #names = new ConnectionNames()
  readonly #header = new Uint8Array(HEADER_BYTES)
  readonly #snapLength: number
  readonly #comments: boolean
  readonly #onError: ((error: PcapError) => void) | undefined
  readonly #start: { seconds: number; nanoseconds: number }
  /** Sent since the frame began that is being looked at. */
  readonly #answers = new SentFrames()
  readonly #areas: (Area | null)[] = []
  #burst: RxBurst | null = null
  /** The first entry of the burst that was not settled, and the one behind its last. */
  #next = 0
  #count = 0
  /** Frames that are in the buffer only, and what the file had when they began to gather. */
  #bufferedReceived = 0
  #bufferedSent = 0
  #flushed = 0
  #closed = false

  constructor(nic: Nic, options: CaptureNicOptions) {
    checkObject('options', options)
    checkInteger('snapLength', options.snapLength, 1, 0xffff_ffff)
    checkBoolean('comments', options.comments)
    checkFunction('onError', options.onError)
    const { snapLength = 0 } = options
    this.#nic = nic
    this.#snapLength = snapLength === 0 ? Number.POSITIVE_INFINITY : snapLength
    this.#comments = options.comments ?? true
    this.#onError = options.onError
    this.#clock = new CaptureClock(options)
    this.#drops = new NicDrops(nic)
    const { name, mac, driver, queue } = nic.info
    const description = `${driver}, queue ${queue}`
    this.#files = new CaptureFiles(options, {
      linkType: LINKTYPE_ETHERNET,
      snapLength,
      name,
      mac,
      description,
    })
    this.#start = this.#time()
    // A disk that is full already is told here rather than later.
    this.#files.first()
    atExit(this)
  }

  get files(): readonly string[] {
    return this.#files.paths
  }

  /** Begins anew with one area. */
  setAreas(memory: NicMemory): void {
    this.#areas.length = 0
    this.setArea(0, memory)
  }

  setArea(area: number, memory: NicMemory | null): void {
    while (this.#areas.length < area) this.#areas.push(null)
    this.#areas[area] =
      memory === null
        ? null
        : {
            bytes: new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength),
            shift: 31 - Math.clz32(memory.chunkSize),
          }
  }

  /** A burst has come; its frames are written as they are settled. */
  begin(burst: RxBurst): void {
    if (this.#closed) return
    this.#burst = burst
    this.#next = 0
    this.#count = burst.count
    this.#clock.read()
    this.#drops.look(this.#clock.us)
  }

  /** The frame in entries `[first, last)` is done with. */
  settle(first: number, last: number, cause: string | null): void {
    if (first < this.#next || last <= first || last > this.#count) return
    while (this.#next < first) this.#settleNext()
    this.#write(first, last, cause, false)
    this.#next = last
    this.#writeSent()
  }

  /** Writes what was not settled. */
  settleAll(): void {
    while (this.#next < this.#count) this.#settleNext()
  }

  /** Writes and flushes everything. */
  endBurst(): void {
    this.settleAll()
    if (this.#bufferedReceived + this.#bufferedSent > 0) this.#flush()
  }

  /** A frame is sent. */
  send(memory: Uint8Array, at: number, length: number): void {
    if (this.#closed) return
    if (this.#next < this.#count) {
      // What it answers is not written yet: it comes behind that.
      this.#answers.keep(memory, at, length)
      return
    }
    this.#clock.read()
    this.#writeOut(memory, at, length)
  }

  /** Writes everything, the statistics, and closes the file. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.settleAll()
    this.#clock.read()
    this.#guard(() => this.#files.end(this.#statistics(true)))
    this.#closed = true
    notAtExit(this)
  }

  #settleNext(): void {
    const burst = this.#burst!
    const first = this.#next
    let last = first
    while (last < this.#count - 1 && (burst.flags[last]! & RX_MORE) !== 0) last++
    this.#write(first, last + 1, null, true)
    this.#next = last + 1
    this.#writeSent()
  }

  #write(first: number, last: number, cause: string | null, unsettled: boolean): void {
    if (this.failed !== null) {
      this.missed++
      return
    }
    const burst = this.#burst!
    let wireLength = 0
    for (let i = first; i < last; i++) wireLength += burst.length[i]!
    const captured = Math.min(wireLength, this.#snapLength)
    try {
      const comment = this.#comments ? this.#comment(first, last, cause, unsettled) : ''
      this.#nextFile(captured + comment.length * 3)
      const { writer } = this.#files
      writer.begin(0, this.#clock.seconds, this.#clock.nanoseconds, wireLength, DIRECTION_INBOUND)
      let left = captured
      for (let i = first; i < last && left > 0; i++) {
        const length = Math.min(left, burst.length[i]!)
        writer.append(this.#bytesOf(i), burst.offset[i]!, length)
        left -= length
      }
      writer.end(comment, this.#drops.take())
      this.#follow()
      this.#bufferedReceived++
      this.received++
    } catch (error) {
      this.missed++
      this.#fail(error)
    }
  }

  #writeSent(): void {
    const frames = this.#answers
    for (let i = 0; i < frames.count; i++) this.#writeOut(frames.bytes, frames.start(i), frames.length(i))
    frames.clear()
  }

  #writeOut(bytes: Uint8Array, at: number, length: number): void {
    if (this.failed !== null) {
      this.missed++
      return
    }
    const captured = Math.min(length, this.#snapLength)
    try {
      this.#nextFile(captured)
      const { seconds, nanoseconds } = this.#clock
      const { writer } = this.#files
      writer.begin(0, seconds, nanoseconds, length, DIRECTION_OUTBOUND)
      writer.append(bytes, at, captured)
      writer.end()
      this.#follow()
      this.#bufferedSent++
      this.sent++
    } catch (error) {
      this.missed++
      this.#fail(error)
    }
  }

  /** Goes on to the next file when the current one has no room for a packet of `bytes` bytes. */
  #nextFile(bytes: number): void {
    if (!this.#files.isFull(bytes + BLOCK_BYTES)) return
    this.#files.next(this.#statistics(false))
    this.#bufferedReceived = this.#bufferedSent = 0
  }

  /** `dropped: tcpChecksum; 192.0.2.2:41000 > 192.0.2.1:9000; niov 17+256`. */
  #comment(first: number, last: number, cause: string | null, unsettled: boolean): string {
    const name = this.#name(first, last)
    const place = this.#place(first, last)
    let comment = unsettled ? UNSETTLED : cause === null ? '' : `dropped: ${cause}`
    if (name !== '') comment = comment === '' ? name : `${comment}; ${name}`
    if (place !== '') comment = comment === '' ? place : `${comment}; ${place}`
    return comment
  }

  #name(first: number, last: number): string {
    const burst = this.#burst!
    const length = burst.length[first]!
    if (last === first + 1 || length >= HEADER_BYTES) {
      const from = burst.offset[first]!
      return this.#names.name(this.#bytesOf(first), from, from + Math.min(length, HEADER_BYTES))
    }
    const header = this.#header
    let filled = 0
    for (let i = first; i < last && filled < HEADER_BYTES; i++) {
      const bytes = this.#bytesOf(i)
      const from = burst.offset[i]!
      const part = Math.min(burst.length[i]!, HEADER_BYTES - filled)
      for (let j = 0; j < part; j++) header[filled++] = bytes[from + j]!
    }
    return this.#names.name(header, 0, filled)
  }

  /** Where the pieces lie that are in areas: chunk and byte offset within it. */
  #place(first: number, last: number): string {
    const burst = this.#burst!
    let place = ''
    let area = -1
    for (let i = first; i < last; i++) {
      if ((burst.flags[i]! & RX_SIDE) !== 0) continue
      const own = burst.area[i]!
      const { shift } = this.#areas[own]!
      const offset = burst.offset[i]!
      if (place !== '') place += ', '
      if (own !== area) place += own === 0 ? 'niov ' : `area ${own} niov `
      place += `${offset >>> shift}+${offset & ((1 << shift) - 1)}`
      area = own
    }
    return place
  }

  #bytesOf(i: number): Uint8Array {
    const burst = this.#burst!
    if ((burst.flags[i]! & RX_SIDE) !== 0) return this.#nic.roles.sideMemory!
    return this.#areas[burst.area[i]!]!.bytes
  }

  #flush(): void {
    this.#guard(() => {
      this.#files.flush()
      this.#follow()
    })
  }

  /** What was in the buffer is in the file if that has grown. */
  #follow(): void {
    const { flushed } = this.#files.writer
    if (flushed === this.#flushed) return
    this.#flushed = flushed
    this.#bufferedReceived = this.#bufferedSent = 0
  }

  #guard(action: () => void): void {
    if (this.failed !== null) return
    try {
      action()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The capture is over; frames go on. */
  #fail(error: unknown): void {
    const failure = this.#files.describe(error)
    this.failed = failure
    try {
      this.#files.writer.close()
    } catch {
      // The first error is the one that is told.
      this.received -= this.#bufferedReceived
      this.sent -= this.#bufferedSent
      this.missed += this.#bufferedReceived + this.#bufferedSent
    }
    this.#bufferedReceived = this.#bufferedSent = 0
    notAtExit(this)
    const onError = this.#onError
    // Not here: what it throws would come out of a method of the NIC.
    if (onError !== undefined) queueMicrotask(() => onError(failure))
  }

  #time(): { seconds: number; nanoseconds: number } {
    const { seconds, nanoseconds } = this.#clock
    return { seconds, nanoseconds }
  }

  #statistics(end: boolean): Parameters<CaptureFiles['end']>[0] {
    const time = this.#time()
    const { frames, drops } = this.#drops.count()
    return {
      time,
      start: this.#start,
      ...(end ? { end: time } : {}),
      received: frames + drops,
      interfaceDrops: drops,
      delivered: frames,
    }
  }
}

/** Copies of frames that were sent while a received one was being looked at; few, so that they can be written behind it. */
class SentFrames {
  bytes = new Uint8Array(4096)
  count = 0
  readonly #ends: number[] = []

  keep(memory: Uint8Array, at: number, length: number): void {
    const start = this.start(this.count)
    if (start + length > this.bytes.length) {
      const larger = new Uint8Array(2 * (start + length))
      larger.set(this.bytes.subarray(0, start))
      this.bytes = larger
    }
    this.bytes.set(memory.subarray(at, at + length), start)
    this.#ends[this.count++] = start + length
  }

  start(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!
  }

  length(index: number): number {
    return this.#ends[index]! - this.start(index)
  }

  clear(): void {
    this.count = 0
  }
}

interface Closable {
  close(): void
}

const open = new Set<Closable>()

function closeAll(): void {
  for (const capture of open) capture.close()
}

/** Closes `capture` when the process ends, also by an exception that nobody catches; not when it is killed. */
function atExit(capture: Closable): void {
  if (open.size === 0) process.on('exit', closeAll)
  open.add(capture)
}

/** It is closed already. */
function notAtExit(capture: Closable): void {
  if (open.delete(capture) && open.size === 0) process.off('exit', closeAll)
}
