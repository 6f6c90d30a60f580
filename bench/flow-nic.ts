import { get16, get32 } from '../bytes.ts'
import type { NicMemory, RxBurst } from '../driver/nic.ts'
import { ACK, PSH, SYN } from '../stack/wire/tcp.ts'
import { WordWatch } from '../waking.ts'
import { nextSegment } from './frames.ts'
import { type Flow, NIOV, putSegment, ScriptedNic, SHAPES } from './replay.ts'

const SHAPE = SHAPES[4]!
// Words that whoever measures shares with a NIC.
/** Segments that may be handed out so far, modulo 2^32. Notified. */
const GRANTED = 0
const WORDS_BYTES = 64
const FIRST_PORT = 20_000
// Where a flow's handshake is.
const CLOSED = 0
const SYN_SENT = 1
const ANSWERED = 2
const OPEN = 3

/** What a NIC is opened with, on whichever thread. */
export interface FlowNicData {
  /** Of each NIC, by its index. */
  readonly words: readonly SharedArrayBuffer[]
  readonly flows: number
  /** Bytes of a segment's payload. */
  readonly payload: number
}

interface PeerFlow extends Flow {
  state: number
  /** Behind the last byte that the server is ready for. */
  edge: number
  windowShift: number
}

/** Memory for the words of `count` NICs. */
export function sharedWords(count: number): SharedArrayBuffer[] {
  return Array.from({ length: count }, () => new SharedArrayBuffer(WORDS_BYTES))
}

/** Lets a NIC hand out `packets` more segments. */
export function grant(words: SharedArrayBuffer, packets: number): void {
  const view = new Int32Array(words)
  Atomics.add(view, GRANTED, packets)
  Atomics.notify(view, GRANTED)
}

/**
 * A NIC with peers behind it: it plays their handshakes, and then hands out their segments out of chunks in which they lie already,
 * as many as were granted and as the server's windows hold. Nothing has to be sent to it by anybody else.
 */
export class FlowNic extends ScriptedNic {
  readonly #words: Int32Array
  readonly #payload: number
  readonly #flows: PeerFlow[]
  /** Chunks in which a segment's headers lie. */
  #primed = new Uint8Array(0)
  #turn = 0
  #handedOut = 0
  /** Flows that are not established yet. */
  #opening: number
  #armed: (() => void) | null = null
  readonly #grants: WordWatch

  constructor({ words, flows, payload }: FlowNicData, index: number) {
    super({ name: `flows${index}`, queue: index, routed: true })
    this.keepSent = false
    this.#words = new Int32Array(words[index]!)
    this.#grants = new WordWatch(this.#words, GRANTED)
    this.#payload = payload
    this.#opening = flows
    this.#flows = Array.from({ length: flows }, (_, i) => ({
      port: FIRST_PORT + index * flows + i,
      seq: i * 1_000_003,
      ack: 0,
      tsEcr: 0,
      tsVal: 1,
      state: CLOSED,
      edge: 0,
      windowShift: 0,
    }))
    this.next = (bytes, at) => this.#next(bytes, at)
  }

  override attach(memory: NicMemory): void {
    super.attach(memory)
    this.#primed = new Uint8Array(memory.areaLength / NIOV)
  }

  override receive(burst: RxBurst): number {
    const left = (Atomics.load(this.#words, GRANTED) - this.#handedOut) | 0
    this.budget = Math.max(left, 0)
    return super.receive(burst)
  }

  /** Writes the next frame that some peer may send; 0: none may. */
  #next(bytes: Uint8Array, at: number): number {
    const flows = this.#flows
    for (let i = 0; i < flows.length; i++) {
      const flow = flows[this.#turn]!
      this.#turn = this.#turn + 1 === flows.length ? 0 : this.#turn + 1
      if (flow.state !== OPEN) {
        const length = this.#handshake(flow, bytes, at)
        if (length > 0) return length
      } else if (((flow.edge - flow.seq) | 0) >= this.#payload && this.#opening === 0) {
        this.#handedOut = (this.#handedOut + 1) | 0
        return this.#segment(flow, bytes, at)
      }
    }
    return 0
  }

  #segment(flow: PeerFlow, bytes: Uint8Array, at: number): number {
    const chunk = at >>> 12
    if (this.#primed[chunk] === 1) return nextSegment(SHAPE.tcpAt, bytes, at, flow, this.#payload)
    this.#primed[chunk] = 1
    const length = putSegment(SHAPE, bytes, at, flow, ACK | PSH, this.#payload)
    flow.seq = (flow.seq + this.#payload) | 0
    return length
  }

  #handshake(flow: PeerFlow, bytes: Uint8Array, at: number): number {
    this.#primed[at >>> 12] = 0
    if (flow.state === CLOSED) {
      flow.state = SYN_SENT
      const length = putSegment(SHAPE, bytes, at, flow, SYN, 0)
      flow.seq = (flow.seq + 1) | 0
      return length
    }
    if (flow.state !== ANSWERED) return 0
    flow.state = OPEN
    this.#opening--
    return putSegment(SHAPE, bytes, at, flow, ACK, 0)
  }

  override txCommit(offset: number, length: number): void {
    if (length === 0) return
    const frame = this.txMemory
    const tcp = offset + SHAPE.tcpAt
    const flow = this.#flows[get16(frame, tcp + 2) - this.#flows[0]!.port]
    if (get16(frame, offset + 12) !== 0x0800 || frame[offset + 23] !== 6 || flow === undefined) return
    if ((frame[tcp + 13]! & SYN) !== 0) {
      flow.state = ANSWERED
      flow.ack = (get32(frame, tcp + 4) + 1) | 0
      flow.windowShift = windowShiftOf(frame, tcp)
    }
    flow.edge = (get32(frame, tcp + 8) + (get16(frame, tcp + 14) << flow.windowShift)) | 0
    if (this.#armed !== null) setImmediate(this.#look)
  }

  override arm(callback: (() => void) | null): void {
    this.#armed = callback
    if (callback !== null) this.#listen()
  }

  /** Frames wait. */
  get #waits(): boolean {
    if (((Atomics.load(this.#words, GRANTED) - this.#handedOut) | 0) <= 0) return false
    return this.#flows.some(
      ({ state, edge, seq }) =>
        state === CLOSED ||
        state === ANSWERED ||
        (state === OPEN && this.#opening === 0 && ((edge - seq) | 0) >= this.#payload),
    )
  }

  #listen(): void {
    const seen = Atomics.load(this.#words, GRANTED)
    if (this.#waits) {
      setImmediate(this.#look)
      return
    }
    this.#grants.listen(seen, this.#look)
  }

  readonly #look = (): void => {
    const callback = this.#armed
    if (callback === null) return
    if (!this.#waits) {
      this.#listen()
      return
    }
    this.#armed = null
    callback()
  }
}

/** Of the options of a SYN,ACK whose TCP header begins at `tcp`. */
function windowShiftOf(frame: Uint8Array, tcp: number): number {
  const end = tcp + (frame[tcp + 12]! >>> 4) * 4
  for (let at = tcp + 20; at < end; ) {
    const kind = frame[at]!
    if (kind === 0) return 0
    if (kind === 3) return frame[at + 2]!
    at += kind === 1 ? 1 : frame[at + 1]!
  }
  return 0
}

/** For a worker (`NicModule`), or on this thread. */
export function openNic(data: FlowNicData, index: number): FlowNic {
  return new FlowNic(data, index)
}
