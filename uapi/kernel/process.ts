import { AddressSpace } from './address-space.ts'
import { FileTable } from './files.ts'
import type { Socket } from './socket.ts'

/**
 * Whose rings they are: addresses mean something in its address space, descriptors in its table. A thread that is served from another
 * one counts as a process, so that what it names by mistake, or on purpose, is its own.
 */
export class Process {
  readonly space: AddressSpace
  readonly files: FileTable<Socket>

  /** @param files shared with other rings of the same thread; default a table of its own @param space default its own */
  constructor(files: FileTable<Socket> = new FileTable(), space: AddressSpace = new AddressSpace()) {
    this.files = files
    this.space = space
  }
}
