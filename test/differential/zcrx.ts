import { createHash } from 'node:crypto'
import * as abi from '../../uapi/abi/index.ts'
import type { EventRequest, Ifq } from '../../uapi/ring/ifq.ts'
import type { Ring, RingParams } from '../../uapi/ring/ring.ts'
import { answer, bringsData, DEFER, type Run, type Seen, type SeeOptions, show } from './run.ts'

export const PAGE = 4096
/** What a ring with instances is set up with unless its scenario says otherwise. */
export const WIDE: number = DEFER | abi.IORING_SETUP_CQE32
/** Bytes that are shown as they are. */
const SHORT = 40
/** Of the letters that a stream repeats. */
const LETTERS = 26

/** Received data where it lies, until its buffer is given back. */
export interface Piece {
  readonly areaId: number
  readonly offset: number
  readonly length: number
}

export interface ZcOptions {
  /** Pages of the area. */
  readonly pages?: number
  /** Of the refill queue. */
  readonly entries?: number
  readonly events?: EventRequest
  readonly region?: 'user' | 'ring'
  /** Where it is registered; default a new ring. */
  readonly ring?: Ring
  /** IORING_SETUP_* of a new ring. */
  readonly setup?: number
  readonly params?: Omit<RingParams, 'flags'> & { entries?: number }
}

export interface ZcSeeOptions extends SeeOptions {
  /** Each piece with where it lies: of what is cut the same everywhere. */
  readonly places?: boolean
}

/** An instance of zero-copy receive on one ring of a program: what came lies in `held`. */
export class Zc {
  readonly x: Run
  readonly ring: Ring
  readonly ifq: Ifq
  /** What has been received and not given back, the first first. */
  readonly held: Piece[] = []
  /** Bytes that were sent to each descriptor. */
  readonly #sent = new Map<number, number>()

  constructor(x: Run, ring: Ring, ifq: Ifq) {
    this.x = x
    this.ring = ring
    this.ifq = ifq
  }

  /** An entry that receives. @param limit 0 = none */
  arm(userData: number, fd: number, limit = 0, change: (sqe: abi.Sqe) => abi.Sqe = (sqe) => sqe): void {
    this.put(userData, fd, limit, change)
    this.ring.submit()
  }

  put(userData: number, fd: number, limit = 0, change: (sqe: abi.Sqe) => abi.Sqe = (sqe) => sqe): void {
    this.x.put(userData, (s) => change(s.prepRecvZc(fd, this.ifq.zcrxId, limit)), this.ring)
  }

  /** Sends the next bytes of a stream, as often as it takes. */
  send(fd: number, length: number): void {
    for (let left = length; left > 0; ) {
      const first = this.#sent.get(fd) ?? 0
      const bytes = this.x.bytes(Math.min(left, 8192))
      for (let i = 0; i < bytes.length; i++) bytes[i] = 97 + ((first + i) % LETTERS)
      const sent = this.x.call((sqe) => sqe.prepSend(fd, bytes, abi.MSG_NOSIGNAL))
      if (sent <= 0) throw new Error(`send: ${abi.errnoName(sent)}`)
      this.#sent.set(fd, first + sent)
      left -= sent
    }
  }

  /** As `Run.see`; consecutive data of a request is one line, however it was cut. */
  see(what: string, { places = false, ...options }: ZcSeeOptions = {}): Seen[] {
    const all = this.x.take({ ring: this.ring, ...options })
    const say = (text: string): void => this.x.say(`${what}:`, text)
    let run: Seen[] = []
    const flush = (): void => {
      if (run.length > 0) say(this.#stream(run, places))
      run = []
    }
    for (const seen of all) {
      const before = run[0]
      if (before !== undefined && !(bringsData(seen) && alike(before, seen))) flush()
      if (bringsData(seen)) run.push(seen)
      else say(this.x.text(seen))
    }
    flush()
    if (all.length === 0) say('nothing')
    return all
  }

  #stream(run: readonly Seen[], places: boolean): string {
    const { userData, flags } = run[0]!
    const pieces = run.map(pieceOf)
    this.held.push(...pieces)
    const bytes = Buffer.concat(pieces.map((piece) => this.bytes(piece)))
    const where = places
      ? pieces.map(({ areaId, offset, length }) => `${length}@${areaId}:${Math.floor(offset / PAGE)}`)
      : []
    const more = (flags & abi.IORING_CQE_F_MORE) !== 0 ? 'MORE' : 'the last'
    const rest = flags & ~abi.IORING_CQE_F_MORE
    const others = rest === 0 ? [] : [`0x${rest.toString(16)}`]
    return [userData, 'data', bytes.length, textOf(bytes), more, ...others, ...where].join(' ')
  }

  bytes({ areaId, offset, length }: Piece): Uint8Array {
    const area = this.ifq.areas[areaId]
    if (area === undefined || area === null || offset + length > area.length)
      return Buffer.from('out of the area')
    return area.subarray(offset, offset + length)
  }

  /** Gives buffers back, without a word to the kernel besides. */
  give(pieces: readonly Piece[]): void {
    const { rq } = this.ifq
    for (const { areaId, offset, length } of pieces)
      if (!rq.push(areaId, offset, length)) throw new Error('the refill queue is full')
    rq.advance()
  }

  /** Gives back so many of those that are held, the first first, and has the queue read. */
  refill(count = this.held.length): void {
    this.give(this.held.splice(0, count))
    this.flush()
  }

  flush(): void {
    const result = this.ring.flushRq(this.ifq.zcrxId)
    if (result < 0) this.x.say('flush', answer(result))
  }

  /** One entry of the refill queue, whatever is in it. */
  entry(areaId: number, offset: number, length = PAGE, pad = 0): void {
    const { rq } = this.ifq
    const view = new DataView(rq.region.buffer, rq.region.byteOffset)
    const tail = view.getUint32(rq.offsets.tail, true)
    if (!rq.push(areaId, offset, length)) throw new Error('the refill queue is full')
    view.setUint32(rq.offsets.rqes + (tail & (rq.entries - 1)) * 16 + 12, pad, true)
    rq.advance()
  }

  /** The kernel's index in the refill queue. */
  get head(): number {
    const { region, offsets } = this.ifq.rq
    return new DataView(region.buffer, region.byteOffset).getUint32(offsets.head, true)
  }
}

/** A ring with an instance of the world's. */
export function instance(x: Run, options: ZcOptions = {}): Zc {
  const { pages = 16, entries = 64, setup = WIDE, params, events, region } = options
  const ring = options.ring ?? x.ring(setup, params)
  const ifq = ring.registerIfq({
    ...x.world.queue,
    rqEntries: entries,
    area: ring.allocateArea(pages * PAGE),
    ...(events === undefined ? {} : { events }),
    ...(region === undefined ? {} : { region }),
  })
  if (typeof ifq === 'number') throw new Error(`an instance: ${abi.errnoName(ifq)}`)
  return new Zc(x, ring, ifq)
}

/** An instance, and a connection. */
export function connected(x: Run, options: ZcOptions = {}): [zc: Zc, client: number, server: number] {
  const zc = instance(x, options)
  return [zc, ...x.pair()]
}

/** Where a data completion says that its bytes lie. */
function pieceOf({ res, extra }: Seen): Piece {
  const [low, high] = [extra[0]! >>> 0, extra[1]! >>> 0]
  return { areaId: high >>> 16, offset: (high & 0xffff) * 2 ** 32 + low, length: res }
}

function alike(one: Seen, other: Seen): boolean {
  return one.userData === other.userData && one.flags === other.flags
}

/** Bytes of a stream: as they are when they are few, by their digest otherwise. */
function textOf(bytes: Uint8Array): string {
  return bytes.length <= SHORT ? show(bytes) : createHash('sha256').update(bytes).digest('hex').slice(0, 12)
}
