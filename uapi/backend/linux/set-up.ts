import { sharedMemory } from '../../../driver/area.ts'
import type { Native } from '../../../driver/native/index.ts'
import { PAGE } from '../../../pages.ts'
import { EINVAL, ENOMEM } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { UringParams } from '../../abi/params.ts'
import type { RingMapping } from '../../ring/memory.ts'

/** Whose memory rings lie in: ours, which threads can share, or the kernel's, mapped. */
export type RingsMemory = 'shared' | 'kernel'

const SQE_BYTES = 64
const CQE_BYTES = 16
/** More than any kernel has in front of the completions. */
const MOST_HEADER = PAGE

/** A ring that was set up. */
export interface LinuxRing {
  readonly fd: number
  readonly mapping: RingMapping
  /** What was mapped of the descriptor, and keeps the ring until it is released. */
  readonly mapped: readonly Uint8Array[]
}

/**
 * io_uring_setup(2) with what this kernel has of NO_MMAP and NO_SQARRAY (Linux 6.5, 6.6): what it does not know it refuses, and is asked
 * again without. Minus errno.
 * @param params as the user wants them; what the kernel answers is written to them
 */
export function setUp(
  native: Native,
  entries: number,
  params: UringParams,
  memory: RingsMemory | null,
): LinuxRing | number {
  const asked = params.bytes.slice()
  const ways: readonly [RingsMemory, number][] = [
    ['shared', abi.IORING_SETUP_NO_SQARRAY],
    ['kernel', abi.IORING_SETUP_NO_SQARRAY],
    ['kernel', 0],
  ]
  let first = 0
  for (const [where, more] of ways) {
    if (memory !== null && where !== memory) continue
    params.bytes.set(asked)
    params.flags |= more | taskrunFlag(params.flags)
    const made =
      where === 'shared' ? setUpShared(native, entries, params) : setUpMapped(native, entries, params)
    if (typeof made !== 'number') {
      if (more === 0) fillSqArray(made.mapping, params)
      return made
    }
    if (first === 0) first = made
    // Before Linux 6.14 memory of the user's had to lie together, which is told so too.
    if (made !== -EINVAL && made !== -ENOMEM) return made
  }
  return first
}

/** It says that work waits, which nobody would know otherwise: `Ring.hasWork`. */
function taskrunFlag(flags: number): number {
  const deferred = flags & (abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_COOP_TASKRUN)
  return deferred !== 0 && (flags & abi.IORING_SETUP_SQPOLL) === 0 ? abi.IORING_SETUP_TASKRUN_FLAG : 0
}

/** What io_uring_setup(2) will make of a number of entries at the most; the kernel itself says what is refused. */
function roundedUp(entries: number, most: number): number {
  return Math.min(most, 2 ** Math.ceil(Math.log2(Math.max(1, entries))))
}

function setUpShared(native: Native, entries: number, params: UringParams): LinuxRing | number {
  const { flags } = params
  const sqEntries = roundedUp(entries, abi.IORING_MAX_ENTRIES)
  const wanted = (flags & abi.IORING_SETUP_CQSIZE) !== 0 ? params.cqEntries : 2 * sqEntries
  const cqEntries = roundedUp(wanted, 2 * abi.IORING_MAX_ENTRIES)
  const cqeBytes = (flags & abi.IORING_SETUP_CQE32) !== 0 ? 2 * CQE_BYTES : CQE_BYTES
  const sqeBytes = (flags & abi.IORING_SETUP_SQE128) !== 0 ? 2 * SQE_BYTES : SQE_BYTES
  const ringsBytes = pages(MOST_HEADER + cqEntries * cqeBytes)
  const sqesBytes = pages(sqEntries * sqeBytes)
  const buffer = sharedOrNull(ringsBytes + sqesBytes)
  if (buffer === null) return -ENOMEM
  const rings = new Uint8Array(buffer, 0, ringsBytes)
  const sqes = new Uint8Array(buffer, ringsBytes, sqesBytes)
  params.flags = flags | abi.IORING_SETUP_NO_MMAP
  params.ringsAddr = native.addressOf(rings)
  params.sqesAddr = native.addressOf(sqes)
  const fd = native.uringSetup(entries, params.bytes)
  return fd < 0 ? fd : { fd, mapping: { rings, sqes }, mapped: [] }
}

function setUpMapped(native: Native, entries: number, params: UringParams): LinuxRing | number {
  const fd = native.uringSetup(entries, params.bytes)
  if (fd < 0) return fd
  const { flags, sqOff, cqOff } = params
  const cqeBytes = (flags & abi.IORING_SETUP_CQE32) !== 0 ? 2 * CQE_BYTES : CQE_BYTES
  const sqeBytes = (flags & abi.IORING_SETUP_SQE128) !== 0 ? 2 * SQE_BYTES : SQE_BYTES
  const array = (flags & abi.IORING_SETUP_NO_SQARRAY) !== 0 ? 0 : sqOff.array + 4 * params.sqEntries
  const ringsBytes = Math.max(array, cqOff.cqes + params.cqEntries * cqeBytes)
  // Both queues lie in one mapping since Linux 5.4 (IORING_FEAT_SINGLE_MMAP).
  const rings = native.uringMap(fd, abi.IORING_OFF_SQ_RING, ringsBytes)
  const sqes = native.uringMap(fd, abi.IORING_OFF_SQES, params.sqEntries * sqeBytes)
  const failed = [rings, sqes].find((one) => typeof one === 'number')
  const mapped = [rings, sqes].flatMap((one) => (typeof one === 'number' ? [] : [new Uint8Array(one)]))
  if (failed !== undefined) {
    for (const one of mapped) native.release(one)
    native.close(fd)
    return failed as number
  }
  return { fd, mapping: { rings: mapped[0]!, sqes: mapped[1]! }, mapped }
}

/** Entries are taken in their order. */
function fillSqArray({ rings }: RingMapping, { flags, sqOff, sqEntries }: UringParams): void {
  if ((flags & abi.IORING_SETUP_NO_SQARRAY) !== 0) return
  const array = new Uint32Array(rings.buffer, rings.byteOffset + sqOff.array, sqEntries)
  for (let i = 0; i < sqEntries; i++) array[i] = i
}

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE
}

/** Null where the runtime has no room for one more. */
function sharedOrNull(bytes: number): SharedArrayBuffer | null {
  try {
    return sharedMemory(bytes)
  } catch {
    return null
  }
}
