import { basename } from 'node:path'
import type { FrameObserver, NicMemory, NicStats, RxBurst, Steering } from '../../driver/nic.ts'
import type { PcapError } from '../../errors.ts'
import { checkThat } from '../check.ts'
import { SEGMENT, SegmentDecoder } from '../decode/segment.ts'
import { LINKTYPE_ETHERNET } from '../file/format.ts'
import { CaptureReader } from '../file/reader.ts'
import { SteeredAddresses } from './addresses.ts'
import { endOf, type HeldSegment, type PlayedConnection } from './connection.ts'
import { FrameNic } from './frame-nic.ts'
import { Intake } from './intake.ts'
import { Observer } from './observer.ts'
import { type NotPlayed, Player, SILENCE_MS } from './player.ts'

/** What the stack had no memory for is played again after so long. */
const RETRY_MS = 10
/** The longest frame, and the least share of the chunks that one may take. */
const LONGEST = 65_549
const SHARE = 4
/** A thread that sleeps on the NIC looks up so often: the file is read by the event loop. */
const NAP_MS = 1
const NAP = new Int32Array(new SharedArrayBuffer(4))

/**
 * Plays a capture to a stack as if its frames came over the wire now: those of clients whose connections to an address that the
 * stack listens at begin in the capture. A segment waits until the window has room for it, so the stack sets the pace.
 * What the stack sends goes nowhere; it is looked at, because acknowledgements and timestamps are translated to it.
 *
 * The file is read on the event loop; memory does not grow with it.
 */
export class PcapNic extends FrameNic implements Steering, FrameObserver {
  readonly #player = new Player(this)
  /** What of the capture was passed over, by reason; live. */
  readonly notPlayed: NotPlayed = this.#player.notPlayed
  readonly #addresses = new SteeredAddresses()
  readonly #intake: Intake
  readonly #lost = new SegmentDecoder()
  #closed = false
  /** What the stack dropped for want of memory is played again, as a peer would. */
  #dropped: { connection: PlayedConnection; held: HeldSegment }[] = []
  #retry: NodeJS.Timeout | null = null
  #callback: (() => void) | null = null
  #wake: NodeJS.Immediate | null = null
  #timer: NodeJS.Timeout | null = null
  /** Entries of the burst that is received into. */
  #capacity = 64

  /** Opens a capture; `-` is standard input. @throws PcapError, ArgumentError */
  static open(file: string): PcapNic {
    checkThat('file', file, typeof file === 'string', 'the path of a capture, or "-"')
    return new PcapNic(file === '-' ? 'stdin' : basename(file), CaptureReader.open(file))
  }

  /** @param name of the interface that it is @param reader becomes the NIC's */
  constructor(name: string, reader: Promise<CaptureReader>) {
    super('pcap', name, true)
    this.roles = { ...this.roles, steering: this, observer: this }
    const observer = new Observer(this.#player)
    this.onTransmit = (memory, at, length) => observer.observe(memory, at, length)
    this.#intake = new Intake(this.#player, this.#addresses, reader, () => this.#rouse())
  }

  /** Why the file could not be read to its end; what was in front of the fault was played. */
  get failed(): PcapError | null {
    return this.#intake.failed
  }

  /** The file has ended, or failed, and everything in it was played or given up. */
  get ended(): boolean {
    const { fileEnded, idle } = this.#player
    return fileEnded && idle && this.#dropped.length + this.pending === 0
  }

  override attach(memory: NicMemory): void {
    super.attach(memory)
    const share = Math.floor(this.chunkCount / SHARE) * this.chunkRoom
    this.#player.largest = Math.min(LONGEST, Math.max(this.chunkRoom, share))
  }

  settled(first: number, last: number, cause: string | null): void {
    if (cause === 'noMemory') this.#keep(first, last)
  }

  steer(address: Uint8Array, _port: number): void {
    this.#addresses.add(address)
    this.#rouse()
  }

  unsteer(address: Uint8Array, _port: number): void {
    this.#addresses.remove(address)
  }

  claim(_address: Uint8Array): void {}
  unclaim(_address: Uint8Array): void {}

  override receive(burst: RxBurst): number {
    this.#capacity = burst.capacity
    if (this.pending === 0) this.#intake.pump()
    return super.receive(burst)
  }

  override hasRoom(bytes: number): boolean {
    return super.hasRoom(bytes) && this.pending + Math.ceil(bytes / this.chunkRoom) <= this.#capacity
  }

  override fill(chunks: Uint32Array, from: number, count: number): number {
    const taken = super.fill(chunks, from, count)
    if (taken > 0) this.#rouse()
    return taken
  }

  /** Sleeps for a moment at the most: what comes next is read by the event loop. */
  override wait(timeoutMs: number): boolean {
    this.#player.quieten()
    if (this.#playable()) return true
    if (timeoutMs > 0) Atomics.wait(NAP, 0, 0, Math.min(timeoutMs, NAP_MS))
    return this.#playable()
  }

  override arm(callback: (() => void) | null): void {
    this.#callback = callback
    if (callback === null) {
      this.#calm()
      return
    }
    this.#player.quieten()
    this.#rouse()
    if (this.#player.waits && this.#timer === null) this.#timer = setTimeout(this.#giveUpSilent, SILENCE_MS)
  }

  override stats(): NicStats {
    const stats = super.stats()
    const { elsewhere, unopened, cut, abandoned } = this.notPlayed
    stats.rxDropped = elsewhere + unopened + cut + abandoned + this.#intake.notSegments
    return stats
  }

  override close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#callback = null
    this.#calm()
    this.#intake.close()
    this.#player.close()
    this.#dropped = []
    super.close()
  }

  // ---- waking ---------------------------------------------------------------------------------------------------

  /** Whether a call of `receive` would bring something, or at least has something to look at. */
  #playable(): boolean {
    if (this.pending > 0) return true
    return !this.#addresses.none && this.#player.playable(this.#intake.reading)
  }

  #rouse(): void {
    if (this.#player.stop === 'reading' && !this.#intake.reading) this.#player.stop = 'none'
    if (this.#callback === null || this.#wake !== null || !this.#playable()) return
    this.#wake = setImmediate(() => {
      this.#wake = null
      const callback = this.#callback
      this.#callback = null
      callback?.()
    })
  }

  #calm(): void {
    if (this.#wake !== null) clearImmediate(this.#wake)
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#closed && this.#retry !== null) clearTimeout(this.#retry)
    this.#wake = null
    this.#timer = null
  }

  /** Looks after the connections that wait, as long as there are any. */
  readonly #giveUpSilent = (): void => {
    this.#timer = null
    this.#player.giveUpSilent()
    if (this.#player.waits && this.#callback !== null)
      this.#timer = setTimeout(this.#giveUpSilent, SILENCE_MS)
    if (this.#player.stop === 'waiting') this.#player.stop = 'none'
    if (this.pending > 0 || this.ended) {
      const callback = this.#callback
      this.#callback = null
      callback?.()
    } else this.#rouse()
  }

  // ---- what is played again -------------------------------------------------------------------------------------

  /** The stack has dropped entries of the latest burst, and will take them when it has memory again. */
  #keep(first: number, last: number): void {
    const frame = this.received(first, last)
    const segment = this.#lost
    if (segment.decodeFrame(frame, 0, frame.length, frame.length, LINKTYPE_ETHERNET) !== SEGMENT) return
    const connection = this.#player.table.find(segment, true)
    if (connection === null || connection.over) return
    const { flags, seq, ipAt } = segment
    this.#dropped.push({
      connection,
      held: { frame, ipAt, flags, seq, end: endOf(segment), from: 0, again: true },
    })
    connection.movedAt = performance.now()
    this.#retry ??= setTimeout(() => {
      this.#retry = null
      const dropped = this.#dropped
      this.#dropped = []
      for (const each of dropped) {
        if (each.connection.over) continue
        this.#player.hold(each.connection, each.held)
        this.#player.mark(each.connection)
      }
      this.#rouse()
    }, RETRY_MS)
  }
}
