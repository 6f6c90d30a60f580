import { EBADF, EBUSY, EFAULT, EINVAL, EMFILE, ENXIO, EOVERFLOW } from '../abi/errno.ts'
import { FileIndexRange, FilesUpdate, RsrcRegister, RsrcUpdate2 } from '../abi/files.ts'
import {
  IORING_MAX_FIXED_FILES,
  IORING_REGISTER_FILES_SKIP,
  IORING_RSRC_REGISTER_SPARSE,
} from '../abi/io-uring.ts'
import { FixedFile, NO_TAG, type UserData } from './fixed-files.ts'
import type { RingPort } from './port.ts'

/** Descriptors and their tags, where they lie. */
interface Source {
  fd(at: number): number | null
  /** Null when there is no memory. */
  tag(at: number): UserData | null
}

/** IORING_REGISTER_FILES: `nrArgs` descriptors. 0 or minus errno. */
export function registerFiles(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (arg === null) return -EFAULT
  return create(context, nrArgs, source(context, context.addressOf(arg), 0))
}

/** IORING_REGISTER_FILES2: with tags, or sparse. `nrArgs` is the size of the structure. */
export function registerFiles2(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (arg === null || nrArgs !== RsrcRegister.SIZE) return -EINVAL
  if (arg.length < RsrcRegister.SIZE) return -EFAULT
  const reg = new RsrcRegister(arg.slice(0, RsrcRegister.SIZE))
  if (reg.nr === 0 || !reg.reservedZero || (reg.flags & ~IORING_RSRC_REGISTER_SPARSE) !== 0) return -EINVAL
  if ((reg.flags & IORING_RSRC_REGISTER_SPARSE) !== 0 && reg.data !== 0) return -EINVAL
  return create(context, reg.nr, source(context, reg.data, reg.tags))
}

/** IORING_UNREGISTER_FILES */
export function unregisterFiles(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (arg !== null || nrArgs !== 0) return -EINVAL
  if (context.files.size === 0) return -ENXIO
  context.files.clear()
  return 0
}

/** IORING_REGISTER_FILES_UPDATE: how many slots were updated, or minus errno when none was. */
export function updateFiles(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs === 0) return -EINVAL
  if (arg === null || arg.length < FilesUpdate.SIZE) return -EFAULT
  const update = new FilesUpdate(arg.slice(0, FilesUpdate.SIZE))
  if (!update.reservedZero) return -EINVAL
  return replace(context, update.offset, nrArgs, source(context, update.fds, 0))
}

/** IORING_REGISTER_FILES_UPDATE2: with tags. `nrArgs` is the size of the structure. */
export function updateFiles2(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (arg === null || nrArgs !== RsrcUpdate2.SIZE) return -EINVAL
  if (arg.length < RsrcUpdate2.SIZE) return -EFAULT
  const update = new RsrcUpdate2(arg.slice(0, RsrcUpdate2.SIZE))
  if (update.nr === 0 || !update.reservedZero) return -EINVAL
  return replace(context, update.offset, update.nr, source(context, update.data, update.tags))
}

/** IORING_REGISTER_FILE_ALLOC_RANGE: the slots that IORING_FILE_INDEX_ALLOC may take. */
export function fileAllocRange(context: RingPort, arg: Uint8Array | null, nrArgs: number): number {
  if (arg === null || nrArgs !== 0) return -EINVAL
  if (arg.length < FileIndexRange.SIZE) return -EFAULT
  const range = new FileIndexRange(arg.slice(0, FileIndexRange.SIZE))
  if (range.off + range.len > 0xffff_ffff) return -EOVERFLOW
  if (!range.reservedZero || range.off + range.len > context.files.size) return -EINVAL
  context.files.allocRange(range.off, range.len)
  return 0
}

function create(context: RingPort, count: number, from: Source): number {
  if (context.files.size !== 0) return -EBUSY
  if (count === 0) return -EINVAL
  if (count > IORING_MAX_FIXED_FILES) return -EMFILE
  const slots: (FixedFile | null)[] = []
  for (let at = 0; at < count; at++) {
    const tag = from.tag(at)
    const fd = from.fd(at)
    const fixed = tag === null || fd === null ? -EFAULT : slotOf(context, fd, tag)
    if (typeof fixed === 'number') {
      for (const made of slots) made?.drop()
      return fixed
    }
    slots.push(fixed)
  }
  context.files.create(slots)
  return 0
}

function replace(context: RingPort, offset: number, count: number, from: Source): number {
  if (offset + count > 0xffff_ffff) return -EOVERFLOW
  if (context.files.size === 0) return -ENXIO
  if (offset + count > context.files.size) return -EINVAL
  for (let done = 0; done < count; done++) {
    const tag = from.tag(done)
    const fd = from.fd(done)
    if (tag === null || fd === null) return done || -EFAULT
    if (fd === IORING_REGISTER_FILES_SKIP) {
      if (tagged(tag)) return done || -EINVAL
      continue
    }
    const fixed = slotOf(context, fd, tag)
    // The slot is emptied even where nothing can take its place.
    context.files.set(offset + done, typeof fixed === 'number' ? null : fixed)
    if (typeof fixed === 'number') return done || fixed
  }
  return count
}

/** What a descriptor puts into a slot: nothing for -1; minus errno when it can't be. */
function slotOf(context: RingPort, fd: number, tag: UserData): FixedFile | null | number {
  if (fd === -1) return tagged(tag) ? -EINVAL : null
  const file = context.process.files.get(fd)
  // A ring among a ring's files would keep both for ever.
  if (file === null || file.kind === 'ring') return -EBADF
  file.dup?.()
  return new FixedFile(context, file, file.dup !== undefined, tag)
}

function tagged(tag: UserData): boolean {
  return tag.userDataLow !== 0 || tag.userDataHigh !== 0
}

/** @param fds,tags addresses; without descriptors every slot is free */
function source(context: RingPort, fds: number, tags: number): Source {
  const { space } = context
  const word = (bytes: Uint8Array, at: number): number =>
    new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getInt32(at, true)
  return {
    fd: (at) => {
      if (fds === 0) return -1
      const bytes = space.view(fds + at * 4, 4)
      return bytes === null ? null : word(bytes, 0)
    },
    tag: (at) => {
      if (tags === 0) return NO_TAG
      const bytes = space.view(tags + at * 8, 8)
      return bytes === null ? null : { userDataLow: word(bytes, 0), userDataHigh: word(bytes, 4) }
    },
  }
}
