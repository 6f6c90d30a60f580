import { NicError } from '../../errors.ts'
import { PAGE, sharedPages } from '../../pages.ts'
import type { Stack } from '../../stack/stack.ts'
import * as errno from '../abi/errno.ts'
import { ZcrxEventDesc, ZcrxStats } from '../abi/events.ts'
import * as abi from '../abi/io-uring.ts'
import {
  RegionDesc,
  RQ_HEAD_OFFSET,
  RQ_RQES_OFFSET,
  RQ_TAIL_OFFSET,
  RQE_SIZE,
  ZcrxAreaReg,
  ZcrxIfqReg,
} from '../abi/structs.ts'
import {
  IO_RQ_MAX_ENTRIES,
  ZCRX_EVENT_DESC_FLAG_STATS,
  ZCRX_REG_IMPORT,
  ZCRX_REG_NODEV,
} from '../abi/zcrx.ts'
import { mapArea } from './area-memory.ts'
import { EVENT_TYPES, ZcrxEvents } from './events.ts'
import { zcrxRegionOffset } from './memmap.ts'
import { nicErrno } from './nic-errno.ts'
import type { KernelPort, RingPort } from './port.ts'
import { type RefillLayout, ZcrxFile, ZcrxIfq } from './zcrx.ts'

/** Most bytes of a region: what a queue of most entries needs, and room for what the user adds. */
const MAX_REGION = 1 << 24

/** IORING_REGISTER_ZCRX_IFQ, with Linux's checks in Linux's order (docs/conformance.md, R1 to R18). */
export function registerIfq(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs !== 1 || arg === null) return -errno.EINVAL
  if (!context.kernel.capable) return -errno.EPERM
  if (!ringServes(context)) return -errno.EINVAL
  if (arg.length < ZcrxIfqReg.SIZE) return -errno.EFAULT
  // A copy, as of every structure here: somebody may write to it while it is looked at.
  const reg = new ZcrxIfqReg(arg.slice(0, ZcrxIfqReg.SIZE))
  if ((reg.flags & ~(ZCRX_REG_IMPORT | ZCRX_REG_NODEV)) !== 0) return -errno.EINVAL
  if (!reg.reservedZero || reg.zcrxId !== 0) return -errno.EINVAL
  const result =
    (reg.flags & ZCRX_REG_IMPORT) !== 0 ? importIfq(context, reg, arg) : createIfq(context, reg, arg)
  if (result === 0) arg.set(reg.bytes)
  return result
}

/** Completions of 32 bytes, and work deferred to the task that enters. */
function ringServes(context: RingPort): boolean {
  const wide = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_CQE_MIXED
  return context.deferred && (context.flags & wide) !== 0
}

function importIfq(context: RingPort, reg: ZcrxIfqReg, arg: Uint8Array): number {
  const { process, space } = context
  if (reg.flags !== ZCRX_REG_IMPORT) return -errno.EINVAL
  const empty = reg.ifRxq === 0 && reg.rqEntries === 0 && reg.areaPtr === 0
  if (!empty || reg.regionPtr !== 0 || reg.eventDesc !== 0) return -errno.EINVAL
  const file = process.files.get(reg.ifIdx)
  if (!(file instanceof ZcrxFile)) return -errno.EBADF
  if (!space.isWritable(arg)) return -errno.EFAULT
  file.ifq.join()
  reg.setOffsets(RQ_HEAD_OFFSET, RQ_TAIL_OFFSET, RQ_RQES_OFFSET)
  reg.zcrxId = context.addIfq(file.ifq)
  return 0
}

function createIfq(context: RingPort, reg: ZcrxIfqReg, arg: Uint8Array): number {
  const { kernel, space } = context
  const nodev = (reg.flags & ZCRX_REG_NODEV) !== 0
  const descBytes = space.view(reg.regionPtr, RegionDesc.SIZE)
  if (descBytes === null) return -errno.EFAULT
  if (nodev && (reg.ifIdx !== 0 || reg.ifRxq !== 0)) return -errno.EINVAL
  if (reg.ifRxq === 0xffff_ffff || reg.rqEntries === 0) return -errno.EINVAL
  const entries = roundEntries(context, reg.rqEntries)
  if (entries < 0) return entries
  const areaBytes = space.view(reg.areaPtr, ZcrxAreaReg.SIZE)
  if (areaBytes === null) return -errno.EFAULT
  const areaReg = new ZcrxAreaReg(areaBytes.slice())
  if (!areaReg.tokenZero) return -errno.EINVAL
  const eventDesc = reg.eventDesc === 0 ? null : eventsDesc(context, reg.eventDesc)
  if (typeof eventDesc === 'number') return eventDesc

  const queueBytes = RQ_RQES_OFFSET + RQE_SIZE * entries
  const desc = regionDesc(descBytes)
  if (typeof desc === 'number') return desc
  const region = regionMemory(context, desc, queueBytes)
  if (typeof region === 'number') return region
  // Whatever else is refused now, the queue was emptied.
  region.fill(0, 0, RQ_RQES_OFFSET)
  const stats = eventDesc === null ? null : statsOf(eventDesc, region, queueBytes)
  if (typeof stats === 'number') return stats
  const chunkSize = reg.rxBufLen || PAGE
  if (chunkSize < PAGE || chunkSize % PAGE !== 0 || 2 ** Math.floor(Math.log2(chunkSize)) !== chunkSize)
    return -errno.EINVAL

  // Larger buffers need a device that can fill them.
  if (nodev && chunkSize > PAGE) return -errno.EOPNOTSUPP
  const known = nodev ? 0 : lookUp(context, reg.ifIdx)
  if (known < 0 && known !== NO_QUEUE_API) return known
  const nic = nodev ? undefined : queueOf(kernel, reg.ifIdx, reg.ifRxq)?.nic
  const area = mapArea(context, areaReg, { nodev, chunkSize, anyMemory: nic?.info.anyMemory === true })
  if (typeof area === 'number') return area
  if (known === NO_QUEUE_API) return -errno.EOPNOTSUPP
  const stack = nodev ? null : pickQueue(context, reg.ifIdx, reg.ifRxq)
  if (typeof stack === 'number') return stack
  // What can't be told must not stay: the structures are written last.
  const told = [arg, areaBytes, descBytes].every((bytes) => space.isWritable(bytes))
  if (!told) return -errno.EFAULT

  const queue: RefillLayout = {
    head: new Int32Array(region.buffer, region.byteOffset + RQ_HEAD_OFFSET, 1),
    tail: new Int32Array(region.buffer, region.byteOffset + RQ_TAIL_OFFSET, 1),
    entries: new Uint32Array(region.buffer, region.byteOffset + RQ_RQES_OFFSET, (entries * RQE_SIZE) / 4),
    count: entries,
  }
  let ifq: ZcrxIfq
  try {
    const provided = (desc.flags & abi.IORING_MEM_REGION_TYPE_USER) === 0 ? region : null
    ifq = new ZcrxIfq(kernel, {
      stack,
      area,
      queue,
      events: eventDesc === null ? null : new ZcrxEvents(context, eventDesc, stats),
      provided,
      maker: context,
    })
  } catch (error) {
    return nicErrno(kernel, error)
  }
  const id = context.addIfq(ifq)
  stats?.set(0, 0)
  if ((desc.flags & abi.IORING_MEM_REGION_TYPE_USER) === 0) {
    desc.mmapOffset = zcrxRegionOffset(id)
    descBytes.set(desc.bytes)
  }
  reg.rqEntries = entries
  reg.rxBufLen = chunkSize
  reg.setOffsets(RQ_HEAD_OFFSET, RQ_TAIL_OFFSET, RQ_RQES_OFFSET)
  reg.zcrxId = id
  areaReg.setRqAreaId(0)
  areaBytes.set(areaReg.bytes)
  return 0
}

/** The next power of two, or minus errno. */
function roundEntries(context: RingPort, asked: number): number {
  if (asked > IO_RQ_MAX_ENTRIES) {
    return (context.flags & abi.IORING_SETUP_CLAMP) === 0 ? -errno.EINVAL : IO_RQ_MAX_ENTRIES
  }
  return 2 ** Math.ceil(Math.log2(asked))
}

function regionDesc(bytes: Uint8Array): RegionDesc | number {
  const desc = new RegionDesc(bytes.slice())
  if ((desc.flags & ~abi.IORING_MEM_REGION_TYPE_USER) !== 0) return -errno.EINVAL
  if (!desc.reservedZero || desc.id !== 0 || desc.mmapOffset !== 0) return -errno.EINVAL
  return desc.size === 0 || desc.size % PAGE !== 0 ? -errno.EINVAL : desc
}

function regionMemory(context: RingPort, desc: RegionDesc, needed: number): Uint8Array | number {
  const { space } = context
  if ((desc.flags & abi.IORING_MEM_REGION_TYPE_USER) === 0) {
    if (desc.userAddr !== 0) return -errno.EFAULT
    if (desc.size > MAX_REGION) return -errno.ENOMEM
    return desc.size < needed ? -errno.EINVAL : sharedPages(desc.size)
  }
  if (desc.userAddr === 0) return -errno.EFAULT
  if (desc.userAddr % PAGE !== 0) return -errno.EINVAL
  const region = space.writable(desc.userAddr, desc.size)
  if (region === null) return -errno.EFAULT
  return desc.size < needed ? -errno.EINVAL : region
}

/** Reads the event descriptor, with Linux's errors (docs/conformance.md, R17). */
function eventsDesc(context: RingPort, pointer: number): ZcrxEventDesc | number {
  const bytes = context.space.view(pointer, ZcrxEventDesc.SIZE)
  if (bytes === null) return -errno.EFAULT
  const desc = new ZcrxEventDesc(bytes.slice())
  if ((desc.typeMask & ~EVENT_TYPES) !== 0 || (desc.flags & ~ZCRX_EVENT_DESC_FLAG_STATS) !== 0)
    return -errno.EINVAL
  if (!desc.reservedZero || !desc.statsAligned) return -errno.EINVAL
  return (desc.flags & ZCRX_EVENT_DESC_FLAG_STATS) === 0 && desc.statsOffset !== 0 ? -errno.EINVAL : desc
}

/** Where the statistics go, with Linux's errors (docs/conformance.md, R18); null for nowhere. Nothing is written yet. */
function statsOf(desc: ZcrxEventDesc, region: Uint8Array, queueBytes: number): ZcrxStats | number | null {
  if ((desc.flags & ZCRX_EVENT_DESC_FLAG_STATS) === 0) return null
  const at = desc.statsOffset
  if (at < queueBytes || at + ZcrxStats.SIZE > region.length) return -errno.ERANGE
  return new ZcrxStats(region.subarray(at, at + ZcrxStats.SIZE))
}

/** Not an errno: the interface exists and can move data by itself, but has no queue to take over. */
const NO_QUEUE_API = -0x1_0000

/** Whether an interface can be given memory: 0, NO_QUEUE_API or minus errno. */
function lookUp({ kernel }: RingPort, ifIndex: number): number {
  if (kernel.stacks.some((stack) => stack.nic.info.ifIndex === ifIndex)) return 0
  const other = kernel.interfaces.get(ifIndex)
  if (other === undefined) return -errno.ENODEV
  return other.dma ? NO_QUEUE_API : -errno.EOPNOTSUPP
}

/** The stack on a queue of an interface, if there is one. */
function queueOf(kernel: KernelPort, ifIndex: number, queue: number): Stack | undefined {
  return kernel.stacks.find(({ nic }) => nic.info.ifIndex === ifIndex && nic.info.queue === queue)
}

/** The queue of an interface, when nobody has it yet; or minus errno. */
function pickQueue(context: RingPort, ifIndex: number, queue: number): Stack | number {
  const { kernel } = context
  const stack = queueOf(kernel, ifIndex, queue)
  if (stack === undefined) return -errno.ERANGE
  const holder = kernel.deviceIfqs.find((other) => other.stack === stack)
  if (holder === undefined) return stack
  kernel.nicError = new NicError(
    'ZCRX_NIC_BUSY',
    `queue ${queue} of ${stack.nic.info.name} is held by ${kernel.holdersOf(holder)}`,
    'close that ring, or register another queue',
  )
  return -errno.EEXIST
}
