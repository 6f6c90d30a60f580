import type { Census, Diagnostics, HeldReport, IfqStats } from '../../diagnostics.ts'
import { ArgumentError } from '../../errors.ts'
import { PAGE } from '../../pages.ts'
import { ZcrxEventDesc, ZcrxStats } from '../abi/events.ts'
import * as abi from '../abi/io-uring.ts'
import { RegionDesc, RQ_RQES_OFFSET, RQE_SIZE, ZcrxAreaReg, ZcrxIfqReg } from '../abi/structs.ts'
import { IORING_ZCRX_AREA_DMABUF, ZCRX_EVENT_DESC_FLAG_STATS, ZCRX_REG_IMPORT } from '../abi/zcrx.ts'
import { borrow } from './arena.ts'
import { RefillQueue } from './refill-queue.ts'
import type { Registrar } from './registrations.ts'

/** Memory for an area: bytes of the caller's, or a descriptor of the kernel's side (`Kernel.adoptFd`) and how much of it. */
export type AreaSource = Uint8Array | { readonly fd: number; readonly bytes: number }

/** What `registerIfq` needs. */
export interface IfqRequest {
  /** Interface index of the NIC; 0 with ZCRX_REG_NODEV. */
  readonly ifIdx: number
  /** Receive queue number. */
  readonly ifRxq: number
  /** Refill queue entries; rounded up to a power of two. */
  readonly rqEntries: number
  /** The area: page-aligned memory of whole pages that received data will be written to. */
  readonly area: AreaSource
  /** ZCRX_REG_* */
  readonly flags?: number
  /** Bytes of a buffer, 4 KiB to 2 MiB, a power of two; 0 = a page. More than a page needs an area of huge pages. */
  readonly rxBufLen?: number
  /** Events to be told, and statistics. */
  readonly events?: EventRequest
  /** Whose memory the refill queue lies in: the caller's (`user`, default), or the ring's, mapped afterwards. */
  readonly region?: 'user' | 'ring'
}

/** `struct zcrx_event_desc`, as `registerIfq` takes it. The statistics are always asked for. */
export interface EventRequest {
  /** Of the completions that tell events; their `res` is the type. */
  readonly userData: number
  /** Bit n: events of type n. 0 = the statistics only. */
  readonly typeMask: number
}

/** A registered interface queue, seen from the user. */
export class Ifq {
  /** Its id on this ring. */
  readonly zcrxId: number
  /** Areas by id; null where one was given back, or is memory behind a descriptor. */
  readonly areas: (Uint8Array | null)[]
  /** How buffers are given back. */
  readonly rq: RefillQueue
  /** Bytes of a buffer. */
  readonly rxBufLen: number
  /** `struct zcrx_stats` as the kernel's side keeps it; null when no events were asked for. */
  readonly copyStats: ZcrxStats | null
  readonly #diagnostics: Diagnostics | null

  constructor(
    diagnostics: Diagnostics | null,
    zcrxId: number,
    parts: Pick<Ifq, 'areas' | 'rq' | 'rxBufLen' | 'copyStats'>,
  ) {
    this.#diagnostics = diagnostics
    this.zcrxId = zcrxId
    this.areas = parts.areas
    this.rq = parts.rq
    this.rxBufLen = parts.rxBufLen
    this.copyStats = parts.copyStats
  }

  /** The first area's memory; empty when it lies behind a descriptor. */
  get area(): Uint8Array {
    return this.areas[0] ?? new Uint8Array(0)
  }

  /** Id of the first area. */
  get areaId(): number {
    return 0
  }

  /**
   * Where every buffer is now. The places add up to `total`; `lost` is anything but 0 only by a bug.
   * @throws ArgumentError where the other side can't tell, and once the ring is closed
   */
  census(): Census {
    return this.#told().census(this.zcrxId)
  }

  /** What the queue has done, cumulative. The object is live. @throws ArgumentError as `census` */
  stats(): Readonly<IfqStats> {
    return this.#told().ifqStats(this.zcrxId)
  }

  /**
   * Tells of buffers that the application has kept for longer than `afterMs` milliseconds: how many, for how long, and which
   * requests delivered them. Said again every `afterMs` while it lasts, from within the ring's entry. Null ends it.
   */
  onHeld(afterMs: number, report: ((report: HeldReport) => void) | null): void {
    this.#told().watchHeld(this.zcrxId, afterMs, report)
  }

  #told(): Diagnostics {
    if (this.#diagnostics !== null) return this.#diagnostics
    throw new ArgumentError(
      'the other side of this ring tells nothing of its buffers',
      'count what is delivered and given back',
    )
  }
}

/** `struct io_uring_zcrx_area_reg` of an area. @param bytes zeroed memory for it */
export function areaReg(registrar: Registrar, source: AreaSource, bytes: Uint8Array): ZcrxAreaReg {
  const reg = new ZcrxAreaReg(bytes)
  if (source instanceof Uint8Array) {
    registrar.pinned?.(source)
    reg.addr = registrar.arena.addressOf(source)
    reg.len = source.byteLength
  } else {
    reg.flags = IORING_ZCRX_AREA_DMABUF
    reg.dmabufFd = source.fd
    reg.len = source.bytes
  }
  return reg
}

/** IORING_REGISTER_ZCRX_IFQ: lays the structures out, asks, and reads what was written back. Minus errno when refused. */
export function registerIfq(
  registrar: Registrar,
  diagnostics: Diagnostics | null,
  request: IfqRequest,
): Ifq | number {
  const { arena } = registrar
  return borrow(arena, (scratch) => {
    const rounded = 2 ** Math.ceil(Math.log2(Math.max(1, request.rqEntries)))
    const queueBytes = RQ_RQES_OFFSET + RQE_SIZE * Math.min(rounded, 65_536)
    const statsBytes = request.events === undefined ? 0 : ZcrxStats.SIZE
    const regionBytes = Math.ceil((queueBytes + statsBytes) / PAGE) * PAGE
    const desc = new RegionDesc(scratch.take(RegionDesc.SIZE))
    let region: Uint8Array | number = 0
    desc.size = regionBytes
    if (request.region !== 'ring') {
      region = arena.pages(regionBytes)
      desc.userAddr = arena.addressOf(region)
      desc.flags = abi.IORING_MEM_REGION_TYPE_USER
    }
    const area = areaReg(registrar, request.area, scratch.take(ZcrxAreaReg.SIZE))
    const reg = new ZcrxIfqReg(scratch.take(ZcrxIfqReg.SIZE))
    reg.ifIdx = request.ifIdx
    reg.ifRxq = request.ifRxq
    reg.rqEntries = request.rqEntries
    reg.flags = request.flags ?? 0
    reg.rxBufLen = request.rxBufLen ?? 0
    reg.areaPtr = arena.addressOf(area.bytes)
    reg.regionPtr = arena.addressOf(desc.bytes)
    if (request.events !== undefined) {
      const events = new ZcrxEventDesc(scratch.take(ZcrxEventDesc.SIZE))
      events.userData = request.events.userData
      events.typeMask = request.events.typeMask
      events.flags = ZCRX_EVENT_DESC_FLAG_STATS
      events.statsOffset = queueBytes
      reg.eventDesc = arena.addressOf(events.bytes)
    }
    const result = registrar.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
    if (result < 0) return result
    if (typeof region === 'number') region = registrar.mmap(desc.mmapOffset, regionBytes)
    if (typeof region === 'number') return region
    const copyStats =
      statsBytes === 0 ? null : new ZcrxStats(region.subarray(queueBytes, queueBytes + statsBytes))
    return new Ifq(diagnostics, reg.zcrxId, {
      areas: [request.area instanceof Uint8Array ? request.area : null],
      rq: new RefillQueue(region, reg.offsets, reg.rqEntries),
      rxBufLen: reg.rxBufLen,
      copyStats,
    })
  })
}

/** ZCRX_REG_IMPORT: what another ring exported. Areas and refill queue are shared with `of`. Minus errno when refused. */
export function importIfq(
  registrar: Registrar,
  diagnostics: Diagnostics | null,
  fd: number,
  of: Ifq,
): Ifq | number {
  return borrow(registrar.arena, (scratch) => {
    const reg = new ZcrxIfqReg(scratch.take(ZcrxIfqReg.SIZE))
    reg.ifIdx = fd
    reg.flags = ZCRX_REG_IMPORT
    const result = registrar.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
    return result < 0 ? result : new Ifq(diagnostics, reg.zcrxId, of)
  })
}
