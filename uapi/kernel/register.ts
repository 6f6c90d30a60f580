import type { NicMemory } from '../../driver/nic.ts'
import * as abi from '../abi/constants.ts'
import * as errno from '../abi/errno.ts'
import { ZcrxEventDesc, ZcrxStats } from '../abi/events.ts'
import { SyncCancelReg } from '../abi/requests.ts'
import * as num from '../abi/ring.ts'
import {
  RegionDesc,
  RQ_HEAD_OFFSET,
  RQ_RQES_OFFSET,
  RQ_TAIL_OFFSET,
  RQE_SIZE,
  ZcrxAreaReg,
  ZcrxCtrl,
  ZcrxIfqReg,
} from '../abi/structs.ts'
import { cancelMatching } from './cancel.ts'
import type { RingContext } from './context.ts'
import { enableRings } from './enable.ts'
import { EVENT_TYPES, ZcrxEvents } from './events.ts'
import { nicErrno } from './opcodes.ts'
import { query } from './query.ts'
import {
  fileAllocRange,
  registerFiles,
  registerFiles2,
  unregisterFiles,
  updateFiles,
  updateFiles2,
} from './register-files.ts'
import { type RefillLayout, ZcrxIfq } from './zcrx.ts'

const PAGE = 4096
/** Offsets in an area fit 32 bits (`NicMemory.areaLength`). */
const MAX_AREA = 2 ** 32 - PAGE

/** `io_uring_register(2)`: 0 or minus errno. */
export function register(
  context: RingContext,
  opcode: number,
  arg: Uint8Array | null,
  nrArgs: number,
): number {
  switch (opcode) {
    case num.IORING_REGISTER_FILES:
      return registerFiles(context, arg, nrArgs)
    case num.IORING_UNREGISTER_FILES:
      return unregisterFiles(context, arg, nrArgs)
    case num.IORING_REGISTER_FILES_UPDATE:
      return updateFiles(context, arg, nrArgs)
    case num.IORING_REGISTER_FILES2:
      return registerFiles2(context, arg, nrArgs)
    case num.IORING_REGISTER_FILES_UPDATE2:
      return updateFiles2(context, arg, nrArgs)
    case num.IORING_REGISTER_FILE_ALLOC_RANGE:
      return fileAllocRange(context, arg, nrArgs)
    case num.IORING_REGISTER_ENABLE_RINGS:
      return enableRings(context, arg, nrArgs)
    case abi.IORING_REGISTER_ZCRX_IFQ:
      return registerIfq(context, arg, nrArgs)
    case abi.IORING_REGISTER_SYNC_CANCEL:
      return syncCancel(context, arg, nrArgs)
    case abi.IORING_REGISTER_ZCRX_CTRL:
      return control(context, arg, nrArgs)
    case abi.IORING_REGISTER_QUERY:
      return query(context.kernel.space, arg, nrArgs)
    default:
      return -errno.EINVAL
  }
}

/** IORING_REGISTER_ZCRX_IFQ, with the kernel's checks in the kernel's order (kernel record points 4 to 15). */
function registerIfq(context: RingContext, arg: Uint8Array | null, nrArgs: number): number {
  const { kernel } = context
  if (nrArgs !== 1 || arg === null) return -errno.EINVAL
  if (!kernel.capable) return -errno.EPERM
  const wide = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_CQE_MIXED
  if (!context.deferred || (context.flags & wide) === 0) return -errno.EINVAL
  if (arg.length < ZcrxIfqReg.SIZE) return -errno.EFAULT
  const reg = new ZcrxIfqReg(arg)
  // Sharing between rings is not served: asking for it is refused, not ignored.
  if ((reg.flags & ~abi.ZCRX_REG_NODEV) !== 0) return -errno.EINVAL
  if (!reg.reservedZero || reg.zcrxId !== 0) return -errno.EINVAL
  const nodev = (reg.flags & abi.ZCRX_REG_NODEV) !== 0
  if (nodev && (reg.ifIdx !== 0 || reg.ifRxq !== 0)) return -errno.EINVAL
  if (reg.ifRxq === 0xffff_ffff || reg.rqEntries === 0) return -errno.EINVAL
  let entries = reg.rqEntries
  if (entries > abi.IO_RQ_MAX_ENTRIES) {
    if ((context.flags & abi.IORING_SETUP_CLAMP) === 0) return -errno.EINVAL
    entries = abi.IO_RQ_MAX_ENTRIES
  }
  entries = 2 ** Math.ceil(Math.log2(entries))

  const queueBytes = RQ_RQES_OFFSET + RQE_SIZE * entries
  const region = mapRegion(context, reg.regionPtr, queueBytes)
  if (typeof region === 'number') return region
  const events = reg.eventDesc === 0 ? null : checkEvents(context, reg.eventDesc, region, queueBytes)
  if (typeof events === 'number') return events
  const areaBytes = kernel.space.view(reg.areaPtr, ZcrxAreaReg.SIZE)
  if (areaBytes === null) return -errno.EFAULT
  const areaReg = new ZcrxAreaReg(areaBytes)
  const memory = checkArea(context, areaReg, reg.rxBufLen)
  if (typeof memory === 'number') return memory

  const stack = nodev ? null : kernel.stackByIfIndex(reg.ifIdx)
  if (!nodev && stack === null) return -errno.ENODEV
  if (stack !== null) {
    if (reg.ifRxq !== stack.nic.info.queue) return -errno.ERANGE
    if (kernel.ifqs.some((other) => other.stack === stack)) return -errno.EEXIST
  }
  const layout: RefillLayout = {
    head: new Int32Array(region.buffer, region.byteOffset + RQ_HEAD_OFFSET, 1),
    tail: new Int32Array(region.buffer, region.byteOffset + RQ_TAIL_OFFSET, 1),
    entries: new Uint32Array(region.buffer, region.byteOffset + RQ_RQES_OFFSET, (entries * RQE_SIZE) / 4),
    count: entries,
  }
  const id = context.ifqs.length
  try {
    context.ifqs.push(new ZcrxIfq(kernel, id, stack, memory, layout, events?.events))
  } catch (error) {
    return nicErrno(context, error)
  }
  region.fill(0, 0, RQ_RQES_OFFSET)
  events?.stats?.set(0, 0)
  reg.rqEntries = entries
  reg.rxBufLen = memory.chunkSize
  reg.setOffsets(RQ_HEAD_OFFSET, RQ_TAIL_OFFSET, RQ_RQES_OFFSET)
  reg.zcrxId = id
  areaReg.setRqAreaId(0)
  return 0
}

function mapRegion(context: RingContext, pointer: number, needed: number): Uint8Array | number {
  const bytes = context.kernel.space.view(pointer, RegionDesc.SIZE)
  if (bytes === null) return -errno.EFAULT
  const desc = new RegionDesc(bytes)
  if ((desc.flags & ~abi.IORING_MEM_REGION_TYPE_USER) !== 0) return -errno.EINVAL
  if (!desc.reservedZero || desc.id !== 0 || desc.mmapOffset !== 0) return -errno.EINVAL
  if (desc.size === 0 || desc.size % PAGE !== 0) return -errno.EINVAL
  if ((desc.flags & abi.IORING_MEM_REGION_TYPE_USER) === 0) {
    // Memory of the ring's own, for mmap: a caller in the same address space hands in its own instead.
    return desc.userAddr === 0 ? -errno.EINVAL : -errno.EFAULT
  }
  if (desc.userAddr === 0) return -errno.EFAULT
  if (desc.userAddr % PAGE !== 0) return -errno.EINVAL
  const region = context.kernel.space.view(desc.userAddr, desc.size)
  if (region === null) return -errno.EFAULT
  return desc.size < needed ? -errno.EINVAL : region
}

/** Reads the event descriptor, with the kernel's errors (kernel record point 53). Nothing is written yet. */
function checkEvents(
  context: RingContext,
  pointer: number,
  region: Uint8Array,
  queueBytes: number,
): { events: ZcrxEvents; stats: ZcrxStats | null } | number {
  const bytes = context.kernel.space.view(pointer, ZcrxEventDesc.SIZE)
  if (bytes === null) return -errno.EFAULT
  const desc = new ZcrxEventDesc(bytes)
  if ((desc.typeMask & ~EVENT_TYPES) !== 0 || (desc.flags & ~abi.ZCRX_EVENT_DESC_FLAG_STATS) !== 0)
    return -errno.EINVAL
  if (!desc.reservedZero || !desc.statsAligned) return -errno.EINVAL
  const at = desc.statsOffset
  if ((desc.flags & abi.ZCRX_EVENT_DESC_FLAG_STATS) === 0) {
    return at === 0 ? { events: new ZcrxEvents(context, desc, null), stats: null } : -errno.EINVAL
  }
  if (at < queueBytes || at + ZcrxStats.SIZE > region.length) return -errno.ERANGE
  const stats = new ZcrxStats(region.subarray(at, at + ZcrxStats.SIZE))
  return { events: new ZcrxEvents(context, desc, stats), stats }
}

function checkArea(context: RingContext, area: ZcrxAreaReg, rxBufLen: number): NicMemory | number {
  if (area.flags !== 0 || !area.tokenZero || !area.reservedZero || area.dmabufFd !== 0) return -errno.EINVAL
  if (area.addr === 0 || area.len === 0) return -errno.EFAULT
  if (area.wraps) return -errno.EOVERFLOW
  if (area.addr % PAGE !== 0 || area.len % PAGE !== 0 || area.len > MAX_AREA) return -errno.EINVAL
  if (rxBufLen !== 0 && (rxBufLen < PAGE || (rxBufLen & (rxBufLen - 1)) !== 0)) return -errno.EINVAL
  // Buffers larger than a page need a device that can fill them.
  if (rxBufLen > PAGE) return -errno.EOPNOTSUPP
  const mapping = context.kernel.space.find(area.addr)
  if (mapping === null || context.kernel.space.view(area.addr, area.len) === null) return -errno.EFAULT
  return {
    buffer: mapping.buffer as ArrayBuffer | SharedArrayBuffer,
    areaOffset: area.addr - mapping.base,
    areaLength: area.len,
    chunkSize: PAGE,
  }
}

/** IORING_REGISTER_SYNC_CANCEL: what ASYNC_CANCEL would complete with. */
function syncCancel(context: RingContext, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs !== 1 || arg === null) return -errno.EINVAL
  if (arg.length < SyncCancelReg.SIZE) return -errno.EFAULT
  const reg = new SyncCancelReg(arg)
  if (!reg.reservedZero) return -errno.EINVAL
  let result = 0
  cancelMatching(context, reg, (res) => {
    result = res
  })
  return result
}

/** IORING_REGISTER_ZCRX_CTRL (kernel record points 48, 56). */
function control(context: RingContext, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs !== 0) return -errno.EINVAL
  if (arg === null || arg.length < ZcrxCtrl.SIZE) return -errno.EFAULT
  const ctrl = new ZcrxCtrl(arg)
  if (!ctrl.reservedZero) return -errno.EFAULT
  const ifq = context.ifqs[ctrl.zcrxId]
  if (ifq === undefined) return -errno.ENXIO
  if (ctrl.op === abi.ZCRX_CTRL_ARM_EVENT) {
    if (!ctrl.armReservedZero || ifq.events === null) return -errno.EINVAL
    return ifq.events.arm(ctrl.eventType)
  }
  if (ctrl.op !== abi.ZCRX_CTRL_FLUSH_RQ) return -errno.EOPNOTSUPP
  if (!ctrl.payloadZero) return -errno.EINVAL
  ifq.takeRefills()
  // Windows that waited for these buffers open now, without waiting for a frame that may never come.
  ifq.stack?.kick()
  return 0
}
