import * as abi from '../abi/constants.ts'
import * as errno from '../abi/errno.ts'
import { SyncCancelReg } from '../abi/requests.ts'
import * as num from '../abi/ring.ts'
import { cancelMatching } from './cancel.ts'
import type { RingContext } from './context.ts'
import { control } from './control.ts'
import { enableRings } from './enable.ts'
import { registerPersonality, unregisterPersonality } from './personality.ts'
import { probe } from './probe.ts'
import { query } from './query.ts'
import {
  fileAllocRange,
  registerFiles,
  registerFiles2,
  unregisterFiles,
  updateFiles,
  updateFiles2,
} from './register-files.ts'
import { registerIfq } from './register-ifq.ts'

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
    case num.IORING_REGISTER_PBUF_RING:
      return context.buffers.register(arg, nrArgs)
    case num.IORING_UNREGISTER_PBUF_RING:
      return context.buffers.unregister(arg, nrArgs)
    case num.IORING_REGISTER_PBUF_STATUS:
      return context.buffers.status(arg, nrArgs)
    case num.IORING_REGISTER_PROBE:
      return probe(arg, nrArgs)
    case num.IORING_REGISTER_PERSONALITY:
      return registerPersonality(context, arg, nrArgs)
    case num.IORING_UNREGISTER_PERSONALITY:
      return unregisterPersonality(context, arg, nrArgs)
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
