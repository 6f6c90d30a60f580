import type { IpAddress } from '../../address.ts'
import { allocateArea } from '../../driver/area.ts'
import type { NicError } from '../../errors.ts'
import { Interface, type InterfaceParts, ownMemory } from '../../host/interface.ts'
import type { HostOptions } from '../../host/options.ts'
import type { RingHost } from '../ring/backend.ts'
import { InlineBackend, InlineKernel, ProcessMemory } from './inline.ts'

export type { AddressesChange } from '../../host/interface.ts'
export type { HostOptions } from '../../host/options.ts'

/**
 * One NIC with a stack of its own and the kernel side that rings are made on, all on this thread: what `Ring.queueInit` needs.
 */
export class Host extends Interface implements RingHost {
  /** The kernel's side of its rings. */
  readonly kernel: InlineKernel
  /**
   * Called once when the device went away (an interface was deleted, or moved to another network namespace): its connections
   * have ended with ENODEV, nothing comes or goes any more, and the host is only good for `close`. A NicError `ZCRX_NIC_GONE`.
   */
  onGone: (error: NicError) => void = () => {}

  private constructor(parts: InterfaceParts) {
    super(parts)
    this.kernel = new InlineKernel({ memoryFor: ({ nic }) => ownMemory(nic) })
    this.kernel.addStack(this.stack)
    this.kernel.outside = this.network
    this.kernel.onDeviceGone = (_, error) => this.onGone(error)
  }

  /** Opens the device and starts a stack on it. @throws NicError, ArgumentError with what to do about it */
  static open(options: HostOptions): Host {
    const host = new Host(Interface.prepare(options))
    host.begin(options, host.kernel)
    host.kernel.portGuard = host.portGuard
    return host
  }

  /** What the stack of the interface's first queue says of an address of our own. */
  siblingAddress(address: IpAddress, usable: boolean): void {
    const there = this.stack.link.isLocal(address)
    if (usable === there) return
    if (!usable) {
      this.stack.removeAddress(address)
      return
    }
    this.stack.addAddress(address, true)
    this.kernel.addressAdded(this.stack, address)
  }

  /** A descriptor of the kernel's side for one of the process's; see `Kernel.adoptFd`. */
  adoptFd(fd: number): number {
    return this.kernel.adoptFd(fd)
  }

  /** The other side of a ring on this host; its areas have the room behind them that the NIC needs. */
  ringBackend(): InlineBackend {
    const area = (bytes: number): Uint8Array => allocateArea(bytes, this.nic.info.tailBytes)
    return new InlineBackend(this.kernel, new ProcessMemory(area))
  }
}
