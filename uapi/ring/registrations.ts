import { BUF_SIZE, BufReg, BufStatus } from '../abi/buffers.ts'
import { FileIndexRange, RsrcRegister, RsrcUpdate2 } from '../abi/files.ts'
import * as abi from '../abi/io-uring.ts'
import { Probe } from '../abi/probe.ts'
import { QueryHdr } from '../abi/query.ts'
import type { SyncCancelReg } from '../abi/requests.ts'
import { type Arena, borrow } from './arena.ts'
import type { RingBackend } from './backend.ts'
import { BufRing } from './buf-ring.ts'

/** What a registration needs of its ring. */
export interface Registrar extends Pick<RingBackend, 'register' | 'mmap' | 'pinned'> {
  readonly arena: Arena
}

/** IORING_REGISTER_QUERY: the bytes of `data` that were known, or minus errno. */
export function query(registrar: Registrar, queryOp: number, data: Uint8Array): number {
  return borrow(registrar.arena, (scratch) => {
    const header = new QueryHdr(scratch.take(QueryHdr.SIZE))
    header.queryOp = queryOp
    header.queryData = scratch.address(data)
    header.size = data.length
    const result = registrar.register(abi.IORING_REGISTER_QUERY, header.bytes, 0)
    if (result < 0) return result
    return header.result < 0 ? header.result : header.size
  })
}

export function syncCancel(registrar: Registrar, reg: SyncCancelReg): number {
  return borrow(registrar.arena, (scratch) =>
    registrar.register(abi.IORING_REGISTER_SYNC_CANCEL, scratch.lend(reg.bytes), 1),
  )
}

export function probe(registrar: Registrar): Probe {
  const answer = new Probe(new Uint8Array(Probe.HEADER_SIZE + 256 * Probe.OP_SIZE))
  borrow(registrar.arena, (scratch) => {
    const bytes = scratch.take(answer.bytes.length)
    registrar.register(abi.IORING_REGISTER_PROBE, bytes, 256)
    answer.bytes.set(bytes)
  })
  return answer
}

/** 64-bit words. */
function tagBytes(tags: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(tags, BigInt).buffer)
}

/** IORING_REGISTER_FILES, or FILES2 with tags. 0 or minus errno. */
export function files(registrar: Registrar, fds: readonly number[], tags: readonly number[]): number {
  const fdWords = new Uint8Array(Int32Array.from(fds).buffer)
  return borrow(registrar.arena, (scratch) => {
    if (tags.length === 0)
      return registrar.register(abi.IORING_REGISTER_FILES, scratch.lend(fdWords), fds.length)
    const reg = new RsrcRegister(scratch.take(RsrcRegister.SIZE))
    reg.nr = fds.length
    reg.data = scratch.address(fdWords)
    reg.tags = scratch.address(tagBytes(tags))
    return registrar.register(abi.IORING_REGISTER_FILES2, reg.bytes, RsrcRegister.SIZE)
  })
}

/** FILES2 with IORING_RSRC_REGISTER_SPARSE. 0 or minus errno. */
export function filesSparse(registrar: Registrar, count: number): number {
  return borrow(registrar.arena, (scratch) => {
    const reg = new RsrcRegister(scratch.take(RsrcRegister.SIZE))
    reg.nr = count
    reg.flags = abi.IORING_RSRC_REGISTER_SPARSE
    return registrar.register(abi.IORING_REGISTER_FILES2, reg.bytes, RsrcRegister.SIZE)
  })
}

/** IORING_REGISTER_FILES_UPDATE2: how many slots it came to, or minus errno. */
export function filesUpdate(
  registrar: Registrar,
  offset: number,
  fds: readonly number[],
  tags: readonly number[],
): number {
  return borrow(registrar.arena, (scratch) => {
    const update = new RsrcUpdate2(scratch.take(RsrcUpdate2.SIZE))
    update.offset = offset
    update.nr = fds.length
    update.data = scratch.address(new Uint8Array(Int32Array.from(fds).buffer))
    update.tags = tags.length === 0 ? 0 : scratch.address(tagBytes(tags))
    return registrar.register(abi.IORING_REGISTER_FILES_UPDATE2, update.bytes, RsrcUpdate2.SIZE)
  })
}

/** IORING_REGISTER_FILE_ALLOC_RANGE. 0 or minus errno. */
export function fileAllocRange(registrar: Registrar, offset: number, length: number): number {
  return borrow(registrar.arena, (scratch) => {
    const range = new FileIndexRange(scratch.take(FileIndexRange.SIZE))
    range.off = offset
    range.len = length
    return registrar.register(abi.IORING_REGISTER_FILE_ALLOC_RANGE, range.bytes, 0)
  })
}

/** IORING_REGISTER_PBUF_RING, with memory of the ring's arena or of the kernel's. Minus errno when it is refused. */
export function bufRing(
  registrar: Registrar,
  entries: number,
  bgid: number,
  flags: number,
): BufRing | number {
  const bytes = Math.max(1, Math.min(entries, 65_536)) * BUF_SIZE
  const maps = (flags & abi.IOU_PBUF_RING_MMAP) !== 0
  let memory: Uint8Array | number = maps ? 0 : registrar.arena.pages(bytes)
  const result = borrow(registrar.arena, (scratch) => {
    const reg = new BufReg(scratch.take(BufReg.SIZE))
    reg.ringEntries = entries
    reg.bgid = bgid
    reg.flags = flags
    if (typeof memory !== 'number') reg.ringAddr = registrar.arena.addressOf(memory)
    return registrar.register(abi.IORING_REGISTER_PBUF_RING, reg.bytes, 1)
  })
  if (result < 0) return result
  const offset = abi.IORING_OFF_PBUF_RING + bgid * 2 ** abi.IORING_OFF_PBUF_SHIFT
  if (maps) memory = registrar.mmap(offset, bytes)
  if (typeof memory !== 'number') return new BufRing(registrar.arena, memory, entries, bgid)
  // Groups above 2047 can't be mapped: their bits are those of the kind of memory.
  freeBufRing(registrar, bgid)
  return memory
}

/** IORING_UNREGISTER_PBUF_RING. 0 or minus errno. */
export function freeBufRing(registrar: Registrar, bgid: number): number {
  return borrow(registrar.arena, (scratch) => {
    const reg = new BufReg(scratch.take(BufReg.SIZE))
    reg.bgid = bgid
    return registrar.register(abi.IORING_UNREGISTER_PBUF_RING, reg.bytes, 1)
  })
}

/** IORING_REGISTER_PBUF_STATUS: the head, or minus errno. */
export function bufRingHead(registrar: Registrar, bgid: number): number {
  return borrow(registrar.arena, (scratch) => {
    const status = new BufStatus(scratch.take(BufStatus.SIZE))
    status.bufGroup = bgid
    const result = registrar.register(abi.IORING_REGISTER_PBUF_STATUS, status.bytes, 1)
    return result < 0 ? result : status.head
  })
}
