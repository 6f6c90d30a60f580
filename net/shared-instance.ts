import { closeSync } from 'node:fs'
import type { Census } from '../diagnostics.ts'
import { ArgumentError, ZcrxError } from '../errors.ts'
import { errnoName } from '../uapi/abi/errno.ts'
import {
  IORING_SETUP_CQE32,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
} from '../uapi/abi/io-uring.ts'
import { bytesOf, type Piece, pieceOf } from '../uapi/backend/worker/piece.ts'
import { WorkerQueue } from '../uapi/backend/worker/queue.ts'
import type { RingBackend } from '../uapi/ring/backend.ts'
import { Ifq } from '../uapi/ring/ifq.ts'
import { RefillQueue } from '../uapi/ring/refill-queue.ts'
import { Ring } from '../uapi/ring/ring.ts'
import { type AreaOptions, registerArea } from './register-area.ts'
import type { AreaPart, Instance, Registrant, SocketCalls, System } from './system.ts'

const RING_FLAGS = IORING_SETUP_CQE32 | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER

/** A registered instance, as another thread is told of it. */
export interface InstanceTicket {
  /** What its descriptor was handed over under. */
  readonly token: number
  readonly area: Piece
  /** Where in it this queue's own memory begins, and how much it is. */
  readonly base: number
  readonly bytes: number
  readonly region: Piece
  readonly offsets: RefillQueue['offsets']
  readonly rqEntries: number
  readonly rxBufLen: number
  readonly lock: SharedArrayBuffer
}

/** How others get at an instance, and what becomes of it. */
interface Handle {
  readonly token: number
  readonly fd: () => number
  readonly census: () => Census
  readonly close: () => void
}

/** An instance that several rings hold. */
export class SharedInstance implements Instance {
  readonly whole: Uint8Array
  readonly base: number
  /** Where its buffers are. @throws ArgumentError where nobody tells */
  readonly census: () => Census
  readonly #bytes: number
  readonly #ifq: Ifq
  readonly #lock: SharedArrayBuffer
  readonly #token: number
  /** A descriptor for it, to import from. */
  readonly #fd: () => number
  readonly #close: () => void

  constructor(part: AreaPart & { bytes: number }, ifq: Ifq, lock: SharedArrayBuffer, handle: Handle) {
    this.whole = part.whole
    this.base = part.base
    this.#bytes = part.bytes
    this.#ifq = ifq
    this.#lock = lock
    this.#token = handle.token
    this.#fd = handle.fd
    this.#close = handle.close
    this.census = handle.census
  }

  join(ring: Ring): Ifq | number {
    const fd = this.#fd()
    return fd < 0 ? fd : ring.importIfq(fd, this.#ifq)
  }

  ticket(): InstanceTicket {
    const { rq, rxBufLen } = this.#ifq
    return {
      token: this.#token,
      area: pieceOf(this.whole),
      base: this.base,
      bytes: this.#bytes,
      region: pieceOf(rq.region),
      offsets: rq.offsets,
      rqEntries: rq.entries,
      rxBufLen,
      lock: this.#lock,
    }
  }

  close(): void {
    this.#close()
  }
}

/** A ring that holds the instance for the host's lifetime. */
export function register(
  system: System,
  options: AreaOptions,
  bytes: number,
  part: AreaPart | null,
): SharedInstance {
  const backend = system.ringBackend()
  const ring = Ring.queueInit(8, { ringBackend: () => backend }, { flags: RING_FLAGS })
  try {
    const whole = part?.whole ?? ring.allocateArea(bytes)
    const base = part?.base ?? 0
    const registered = registerArea(ring, system.nic.info, options, whole.subarray(base, base + bytes))
    const fd = ring.exportIfq(registered.zcrxId)
    if (fd < 0) throw new ZcrxError('ZCRX_REGISTER', `the interface queue can't be shared: ${errnoName(fd)}`)
    const lock = new SharedArrayBuffer(4)
    // On one thread nobody else pushes at the same time.
    const ifq = system instanceof WorkerQueue ? sharedIfq(registered, lock) : registered
    system.sockets?.opened(fd)
    const close = (): void => {
      if (system.sockets !== undefined) closeDescriptor(system.sockets, ring, fd)
      ring.queueExit()
    }
    const handle = { ...handleOf(system, backend, fd), census: () => registered.census(), close }
    return new SharedInstance({ whole, base, bytes }, ifq, lock, handle)
  } catch (error) {
    ring.queueExit()
    throw error
  }
}

/** What an engine has registered, for others of this thread as well. @throws ZcrxError where it can't be shared */
export function share(system: System, { ring, backend, ifq, area, base }: Registrant): SharedInstance {
  if (ifq === null) throw new ArgumentError('ordinary sockets share no area')
  const fd = ring.exportIfq(ifq.zcrxId)
  if (fd < 0) throw new ZcrxError('ZCRX_REGISTER', `the interface queue can't be shared: ${errnoName(fd)}`)
  system.sockets?.opened(fd)
  const part = { whole: area, base, bytes: ifq.areas[0]?.length ?? 0 }
  return new SharedInstance(part, ifq, new SharedArrayBuffer(4), {
    ...handleOf(system, backend, fd),
    census: () => ifq.census(),
    close: () => {
      if (system.sockets === undefined) return
      system.sockets.closing(fd)
      closeSync(fd)
    },
  })
}

/** Of what was exported on Linux, where it keeps the queue behind the ring. */
function closeDescriptor(sockets: SocketCalls, ring: Ring, fd: number): void {
  sockets.closing(fd)
  ring.getSqe()!.prepClose(fd)
  ring.submitAndWait(1)
}

/** How others get at what was exported: another descriptor of this thread's kernel, or whatever the worker hands out. */
function handleOf(system: System, backend: RingBackend, fd: number): { token: number; fd: () => number } {
  if (!(system instanceof WorkerQueue) || !('hand' in backend)) return { token: 0, fd: () => fd }
  const token = (backend as RingBackend & { hand(fd: number): number }).hand(fd)
  if (token < 0)
    throw new ZcrxError('ZCRX_REGISTER', `the interface queue can't be shared: ${errnoName(token)}`)
  return { token, fd: () => system.about.take(token) }
}

/** The instance, its refill queue under a lock. */
function sharedIfq({ zcrxId, areas, rq, rxBufLen, copyStats }: Ifq, lock: SharedArrayBuffer): Ifq {
  const shared = new RefillQueue(rq.region, rq.offsets, rq.entries, new Int32Array(lock))
  return new Ifq(null, zcrxId, { areas, rq: shared, rxBufLen, copyStats })
}

/** One that another thread has registered. */
export function attachInstance(ticket: InstanceTicket, queue: WorkerQueue): SharedInstance {
  const { token, area, base, bytes, region, offsets, rqEntries, rxBufLen, lock } = ticket
  const rq = new RefillQueue(bytesOf(region), offsets, rqEntries, new Int32Array(lock))
  const whole = bytesOf(area)
  const areas = [whole.subarray(base, base + bytes)]
  const ifq = new Ifq(null, 0, { areas, rq, rxBufLen, copyStats: null })
  return new SharedInstance({ whole, base, bytes }, ifq, lock, {
    token,
    fd: () => queue.about.take(token),
    census: () => {
      throw new ArgumentError('another thread has opened the host', 'ask there')
    },
    close: () => {},
  })
}
