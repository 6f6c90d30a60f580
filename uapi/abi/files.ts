import { allZero, getU64, putU64, Struct } from './struct.ts'

/** `struct io_uring_files_update` and `io_uring_rsrc_update`, 16 bytes: new descriptors for some fixed files. */
export class FilesUpdate extends Struct {
  static readonly SIZE = 16
  /** First slot. */
  get offset(): number {
    return this.u32(0)
  }
  set offset(value: number) {
    this.setU32(0, value)
  }
  get reservedZero(): boolean {
    return this.u32(4) === 0
  }
  /** Address of the descriptors, 4 bytes each. */
  get fds(): number {
    return getU64(this.view, 8)
  }
  set fds(value: number) {
    putU64(this.view, 8, value)
  }
}

/** `struct io_uring_rsrc_register`, 32 bytes. */
export class RsrcRegister extends Struct {
  static readonly SIZE = 32
  get nr(): number {
    return this.u32(0)
  }
  set nr(value: number) {
    this.setU32(0, value)
  }
  /** IORING_RSRC_REGISTER_* */
  get flags(): number {
    return this.u32(4)
  }
  set flags(value: number) {
    this.setU32(4, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 8, 16)
  }
  /** Address of the descriptors, 4 bytes each; 0 = all slots are free. */
  get data(): number {
    return getU64(this.view, 16)
  }
  set data(value: number) {
    putU64(this.view, 16, value)
  }
  /** Address of the tags, 8 bytes each, or 0. */
  get tags(): number {
    return getU64(this.view, 24)
  }
  set tags(value: number) {
    putU64(this.view, 24, value)
  }
}

/** `struct io_uring_rsrc_update2`, 32 bytes. */
export class RsrcUpdate2 extends Struct {
  static readonly SIZE = 32
  /** First slot. */
  get offset(): number {
    return this.u32(0)
  }
  set offset(value: number) {
    this.setU32(0, value)
  }
  /** Address of the descriptors, 4 bytes each. */
  get data(): number {
    return getU64(this.view, 8)
  }
  set data(value: number) {
    putU64(this.view, 8, value)
  }
  /** Address of the tags, 8 bytes each, or 0. */
  get tags(): number {
    return getU64(this.view, 16)
  }
  set tags(value: number) {
    putU64(this.view, 16, value)
  }
  get nr(): number {
    return this.u32(24)
  }
  set nr(value: number) {
    this.setU32(24, value)
  }
  get reservedZero(): boolean {
    return this.u32(4) === 0 && this.u32(28) === 0
  }
}

/** `struct io_uring_file_index_range`, 16 bytes: the slots that IORING_FILE_INDEX_ALLOC may take. */
export class FileIndexRange extends Struct {
  static readonly SIZE = 16
  get off(): number {
    return this.u32(0)
  }
  set off(value: number) {
    this.setU32(0, value)
  }
  get len(): number {
    return this.u32(4)
  }
  set len(value: number) {
    this.setU32(4, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 8, 16)
  }
}
