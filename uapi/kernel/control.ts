import * as errno from '../abi/errno.ts'
import { ZcrxAreaReg, ZcrxCtrl } from '../abi/structs.ts'
import {
  IORING_ZCRX_AREA_DMABUF,
  ZCRX_CTRL_ADD_AREA,
  ZCRX_CTRL_ARM_EVENT,
  ZCRX_CTRL_EXPORT,
  ZCRX_CTRL_FLUSH_RQ,
  ZCRX_CTRL_REMOVE_AREA,
} from '../abi/zcrx.ts'
import { mapArea } from './area-memory.ts'
import type { RingPort } from './port.ts'
import { MAX_AREAS, ZcrxFile, type ZcrxIfq } from './zcrx.ts'

/** What is looked at: a copy, as somebody may write to the structure meanwhile. One for all calls, as a flush is for each turn of a loop. */
const seen = new ZcrxCtrl(new Uint8Array(ZcrxCtrl.SIZE))

/** IORING_REGISTER_ZCRX_CTRL (docs/conformance.md, C1): 0 or minus errno. */
export function control(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs !== 0) return -errno.EINVAL
  if (arg === null || arg.length < ZcrxCtrl.SIZE) return -errno.EFAULT
  for (let i = 0; i < ZcrxCtrl.SIZE; i++) seen.bytes[i] = arg[i]!
  if (!seen.reservedZero) return -errno.EFAULT
  const ifq = context.ifqs[seen.zcrxId]
  if (ifq === undefined) return -errno.ENXIO
  if (seen.op === ZCRX_CTRL_FLUSH_RQ) return flush(ifq, seen)
  const ctrl = new ZcrxCtrl(seen.bytes.slice())
  switch (ctrl.op) {
    case ZCRX_CTRL_EXPORT:
      return exportIfq(context, ifq, ctrl, arg)
    case ZCRX_CTRL_ARM_EVENT:
      if (!ctrl.armReservedZero || ifq.events === null) return -errno.EINVAL
      return ifq.events.arm(ctrl.eventType)
    case ZCRX_CTRL_ADD_AREA:
      return addArea(context, ifq, ctrl)
    case ZCRX_CTRL_REMOVE_AREA:
      return ctrl.armReservedZero ? ifq.removeArea(ctrl.areaId) : -errno.EINVAL
    default:
      return -errno.EOPNOTSUPP
  }
}

function flush(ifq: ZcrxIfq, ctrl: ZcrxCtrl): number {
  if (!ctrl.payloadZero) return -errno.EINVAL
  ifq.takeRefills()
  // Windows that waited for these buffers open now, without waiting for a frame that may never come.
  ifq.stack?.kick()
  return 0
}

function exportIfq({ process, space }: RingPort, ifq: ZcrxIfq, ctrl: ZcrxCtrl, arg: Uint8Array): number {
  if (!ctrl.payloadZero) return -errno.EINVAL
  if (!space.isWritable(arg)) return -errno.EFAULT
  const file = new ZcrxFile(ifq)
  const fd = process.files.open(file)
  if (fd < 0) {
    file.release()
    return -errno.EMFILE
  }
  ctrl.zcrxFd = fd
  arg.set(ctrl.bytes)
  return 0
}

/** The token that the area would have is written before most of the checks, as Linux does (docs/conformance.md, A11). */
function addArea(context: RingPort, ifq: ZcrxIfq, ctrl: ZcrxCtrl): number {
  const bytes = context.space.writable(ctrl.areaPtr, ZcrxAreaReg.SIZE)
  if (bytes === null) return -errno.EFAULT
  if (!ctrl.areaReservedZero) return -errno.EINVAL
  const reg = new ZcrxAreaReg(bytes.slice())
  if (!reg.tokenZero) return -errno.EINVAL
  const id = ifq.areas.length
  if (id >= MAX_AREAS) return -errno.EINVAL
  reg.setRqAreaId(id)
  bytes.set(reg.bytes)
  // Areas of one instance are of one kind.
  const dmabuf = (reg.flags & IORING_ZCRX_AREA_DMABUF) !== 0
  if (dmabuf !== ifq.dmabuf) return -errno.EINVAL
  const area = mapArea(context, reg, {
    nodev: ifq.stack === null,
    chunkSize: ifq.niovSize,
    anyMemory: ifq.stack?.nic.info.anyMemory === true,
  })
  if (typeof area === 'number') return area
  ifq.addArea(area)
  // What waited for buffers goes on.
  ifq.stack?.kick()
  return 0
}
