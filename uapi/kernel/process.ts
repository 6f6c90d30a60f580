import { AddressSpace } from './address-space.ts'
import { FileTable } from './files.ts'
import type { Socket } from './socket.ts'

/**
 * Whose rings they are: addresses mean something in its address space, descriptors in its table. A thread that is served from another
 * one counts as a process, so that what it names by mistake, or on purpose, is its own.
 */
export class Process {
  readonly space: AddressSpace = new AddressSpace()
  readonly files: FileTable<Socket>

  /** @param files shared with other rings of the same thread; default a table of its own */
  constructor(files: FileTable<Socket> = new FileTable()) {
    this.files = files
  }

  /** It has ended: its descriptors are closed. Its rings are to be closed before. */
  end(): void {
    this.files.end()
  }
}
