import * as errno from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import { Probe } from '../abi/probe.ts'
import { SyncCancelReg } from '../abi/requests.ts'
import { cancelMatching } from './cancel.ts'
import { control } from './control.ts'
import { isServed, OPCODE_COUNT } from './ops/dispatch.ts'
import { registerPersonality, unregisterPersonality } from './personality.ts'
import type { RingPort } from './port.ts'
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

/** Opcodes are a byte. */
const MAX_OPS = 256

/** `io_uring_register(2)`: 0 or minus errno. */
export function register(context: RingPort, opcode: number, arg: Uint8Array | null, nrArgs: number): number {
  switch (opcode) {
    case abi.IORING_REGISTER_FILES:
      return registerFiles(context, arg, nrArgs)
    case abi.IORING_UNREGISTER_FILES:
      return unregisterFiles(context, arg, nrArgs)
    case abi.IORING_REGISTER_FILES_UPDATE:
      return updateFiles(context, arg, nrArgs)
    case abi.IORING_REGISTER_FILES2:
      return registerFiles2(context, arg, nrArgs)
    case abi.IORING_REGISTER_FILES_UPDATE2:
      return updateFiles2(context, arg, nrArgs)
    case abi.IORING_REGISTER_FILE_ALLOC_RANGE:
      return fileAllocRange(context, arg, nrArgs)
    case abi.IORING_REGISTER_PBUF_RING:
      return context.buffers.register(arg, nrArgs)
    case abi.IORING_UNREGISTER_PBUF_RING:
      return context.buffers.unregister(arg, nrArgs)
    case abi.IORING_REGISTER_PBUF_STATUS:
      return context.buffers.status(arg, nrArgs)
    case abi.IORING_REGISTER_PROBE:
      return probe(arg, nrArgs)
    case abi.IORING_REGISTER_PERSONALITY:
      return registerPersonality(context.personalities, arg, nrArgs)
    case abi.IORING_UNREGISTER_PERSONALITY:
      return unregisterPersonality(context.personalities, arg, nrArgs)
    case abi.IORING_REGISTER_ENABLE_RINGS:
      return enableRings(context, arg, nrArgs)
    case abi.IORING_REGISTER_ZCRX_IFQ:
      return registerIfq(context, arg, nrArgs)
    case abi.IORING_REGISTER_SYNC_CANCEL:
      return syncCancel(context, arg, nrArgs)
    case abi.IORING_REGISTER_ZCRX_CTRL:
      return control(context, arg, nrArgs)
    case abi.IORING_REGISTER_QUERY:
      return query(context.space, arg, nrArgs)
    default:
      return -errno.EINVAL
  }
}

/** IORING_REGISTER_SYNC_CANCEL: what ASYNC_CANCEL would complete with. */
function syncCancel(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs !== 1 || arg === null) return -errno.EINVAL
  if (arg.length < SyncCancelReg.SIZE) return -errno.EFAULT
  const reg = new SyncCancelReg(arg.slice(0, SyncCancelReg.SIZE))
  if (!reg.reservedZero) return -errno.EINVAL
  let result = 0
  cancelMatching(context, reg, (res) => {
    result = res
  })
  return result
}

/** IORING_REGISTER_ENABLE_RINGS, of a ring set up with R_DISABLED. 0 or minus errno. */
function enableRings(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (arg !== null || nrArgs !== 0) return -errno.EINVAL
  if (!context.disabled) return -errno.EBADFD
  context.disabled = false
  return 0
}

/** IORING_REGISTER_PROBE: which opcodes are served, of the first `nrArgs`. 0 or minus errno. */
function probe(arg: Uint8Array | null, nrArgs: number): number {
  if (arg === null || nrArgs > MAX_OPS) return -errno.EINVAL
  const count = Math.min(nrArgs, OPCODE_COUNT)
  const size = Probe.HEADER_SIZE + count * Probe.OP_SIZE
  if (arg.length < size) return -errno.EFAULT
  const bytes = arg.subarray(0, size)
  if (bytes.some((byte) => byte !== 0)) return -errno.EINVAL
  const answer = new Probe(bytes)
  answer.lastOp = OPCODE_COUNT - 1
  answer.opsLen = count
  for (let op = 0; op < count; op++) answer.setOp(op, isServed(op) ? abi.IO_URING_OP_SUPPORTED : 0)
  return 0
}
