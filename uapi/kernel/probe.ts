import { EFAULT, EINVAL } from '../abi/errno.ts'
import { Probe } from '../abi/probe.ts'
import { IO_URING_OP_SUPPORTED } from '../abi/ring.ts'
import { isServed, OPCODE_COUNT } from './prepare.ts'

/** Opcodes are a byte. */
const MAX_OPS = 256

/** IORING_REGISTER_PROBE: which opcodes are served, of the first `nrArgs`. 0 or minus errno. */
export function probe(arg: Uint8Array | null, nrArgs: number): number {
  if (arg === null || nrArgs > MAX_OPS) return -EINVAL
  const count = Math.min(nrArgs, OPCODE_COUNT)
  const size = Probe.HEADER_SIZE + count * Probe.OP_SIZE
  if (arg.length < size) return -EFAULT
  const bytes = arg.subarray(0, size)
  if (bytes.some((byte) => byte !== 0)) return -EINVAL
  const answer = new Probe(bytes)
  answer.lastOp = OPCODE_COUNT - 1
  answer.opsLen = count
  for (let op = 0; op < count; op++) answer.setOp(op, isServed(op) ? IO_URING_OP_SUPPORTED : 0)
  return 0
}
