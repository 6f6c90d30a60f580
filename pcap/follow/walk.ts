import { type DatagramPiece, Defragmenter } from '../decode/defragment.ts'
import { isKnownLink } from '../decode/link.ts'
import { FRAGMENT, MALFORMED, NOT_IP, SEGMENT, SegmentDecoder } from '../decode/segment.ts'
import { CapturedPacket } from '../file/packet.ts'
import type { CaptureReader } from '../file/reader.ts'

/** A turn of the event loop for about so many mebibytes. */
const FILLS_PER_TURN = 64

/** What a capture held; every packet is in exactly one of the counts but `packets`. */
export interface WalkCounts {
  /** All that the capture held. */
  packets: number
  /** TCP segments, those put together from fragments included once each. */
  segments: number
  /** Fragments: each counts here, and the one that completes a datagram as a segment besides. */
  fragments: number
  /** Of link types that are not known. */
  unknownLink: number
  /** Not IP at all. */
  notIp: number
  /** IP of other protocols. */
  notTcp: number
  /** Lengths that contradict each other, or headers that were not captured. */
  malformed: number
  /** Packets of those counts that may carry segments and were not looked into, by the name of what they are in. */
  notLookedInto: Record<string, number>
}

/** Names that are told apart; a capture can't make more. */
const MOST_NAMES = 64
const OTHER_NAMES = 'others'
/** Datagrams within datagrams that are put together. */
const MOST_ASSEMBLED = 4

/**
 * Goes through the TCP segments of a capture:
 *
 *     do while (walk.next()) use(walk.segment)
 *     while (await walk.fill())
 */
export class SegmentWalk {
  readonly reader: CaptureReader
  /** The segment; overwritten by each `next`. */
  readonly segment = new SegmentDecoder()
  /** The frame that brought it, or its last fragment. */
  readonly packet = new CapturedPacket()
  readonly defragmenter = new Defragmenter()
  /** The segment was put together. */
  assembled = false
  readonly counts: WalkCounts = {
    packets: 0,
    segments: 0,
    fragments: 0,
    unknownLink: 0,
    notIp: 0,
    notTcp: 0,
    malformed: 0,
    notLookedInto: {},
  }
  /** Told of segments that are quoted in ICMP errors, or malformed: `segment` has their ends and numbers, and no more. */
  onNamed: () => void = () => {}

  #fills = 0

  constructor(reader: CaptureReader) {
    this.reader = reader
  }

  /** Steps to the next segment; false when `fill` has to read on. @throws PcapError */
  next(): boolean {
    const { packet, segment, reader } = this
    while (reader.next(packet)) {
      this.counts.packets++
      this.assembled = false
      let found = segment.decode(packet)
      if (found === FRAGMENT) {
        this.counts.fragments++
        found = this.#assemble(packet)
        if (found === SEGMENT) return this.#found()
        // The fragments have been counted.
        if (segment.named) this.onNamed()
        continue
      }
      if (found === SEGMENT) return this.#found()
      if (segment.named) this.onNamed()
      if (segment.opaque !== '') this.#notLookedInto(segment.opaque)
      if (found === MALFORMED) this.counts.malformed++
      else if (found !== NOT_IP) this.counts.notTcp++
      else if (isKnownLink(packet.linkType)) this.counts.notIp++
      else this.counts.unknownLink++
    }
    return false
  }

  /** The fragments that the segment came in, as they were on the wire; null when it did not, or came in a tunnel that did. */
  get pieces(): readonly DatagramPiece[] | null {
    return this.assembled && this.segment.ipAt === 0 ? this.defragmenter.pieces : null
  }

  #found(): true {
    this.counts.segments++
    return true
  }

  /** What the datagram is that the fragment completes, if it does. */
  #assemble(packet: CapturedPacket): number {
    const { segment, defragmenter } = this
    let found = FRAGMENT
    for (let times = 0; found === FRAGMENT && times < MOST_ASSEMBLED; times++) {
      if (!defragmenter.add(segment, packet.seconds)) return FRAGMENT
      found = defragmenter.decode(segment)
    }
    this.assembled = found === SEGMENT
    return found
  }

  #notLookedInto(name: string): void {
    const names = this.counts.notLookedInto
    const known = name in names || Object.keys(names).length < MOST_NAMES
    const counted = known ? name : OTHER_NAMES
    names[counted] = (names[counted] ?? 0) + 1
  }

  /**
   * Reads on; false at the end. Now and then it lets Node's event loop take a turn, which a file that is always ready would not.
   * @param signal ends the walk with its reason @throws PcapError
   */
  async fill(signal?: AbortSignal): Promise<boolean> {
    if (++this.#fills % FILLS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
    signal?.throwIfAborted()
    return signal === undefined ? this.reader.fill() : unlessAborted(this.reader.fill(), signal)
  }
}

/** A pipe may stay silent for ever: the signal ends the waiting too. */
function unlessAborted<T>(wait: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    wait.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
