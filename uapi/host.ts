import { networkInterfaces } from 'node:os'
import { ArgumentError } from '../driver/errors.ts'
import type { Nic, NicMemory } from '../driver/nic.ts'
import { type Clock, SystemClock } from '../stack/clock.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import type { TcpConfig } from '../stack/tcp/options.ts'
import { parseIpv4 } from '../stack/wire/ipv4.ts'
import { allocateArea, asNicMemory } from './area.ts'
import { openDevice } from './device.ts'
import { Kernel } from './kernel/kernel.ts'

/** Memory of a queue that has no area: enough for handshakes. */
const OWN_AREA_BYTES = 2 << 20

export interface HostOptions {
  /** `xdp:eth0`, `xdp:eth0/1`, `xdp:eth0?mode=native`, or an open NIC. The host closes it. */
  readonly device: string | Nic
  /** Dotted IPv4; default the interface's first address. */
  readonly address?: string
  /** The address is the stack's alone: it answers and asks ARP for it. Default false: it is the machine's. */
  readonly ownAddress?: boolean
  readonly clock?: Clock
  readonly tcp?: Partial<TcpConfig>
  /** Fragments taken from the NIC at a time. */
  readonly burst?: number
}

/** One NIC with a stack of its own and the kernel side that rings are made on: what `Ring.queueInit` needs. */
export class Host {
  readonly nic: Nic
  readonly stack: Stack
  readonly kernel: Kernel
  /** As an integer. */
  readonly address: number

  private constructor(nic: Nic, stack: Stack, kernel: Kernel, address: number) {
    this.nic = nic
    this.stack = stack
    this.kernel = kernel
    this.address = address
  }

  /** Opens the device and starts a stack on it. @throws NicError, ArgumentError with what to do about it */
  static open(options: HostOptions): Host {
    const nic = typeof options.device === 'string' ? openDevice(options.device) : options.device
    try {
      const address = findAddress(nic, options.address)
      const memoryFor = (): NicMemory => asNicMemory(allocateArea(OWN_AREA_BYTES, nic.info.tailBytes))
      const stack = new Stack({
        nic,
        memory: memoryFor(),
        clock: options.clock ?? new SystemClock(),
        entropy: systemEntropy(),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
        ...(options.burst === undefined ? {} : { burst: options.burst }),
      })
      const kernel = new Kernel({ memoryFor })
      kernel.addStack(stack)
      stack.addAddress(address, options.ownAddress ?? false)
      return new Host(nic, stack, kernel, address)
    } catch (error) {
      nic.close()
      throw error
    }
  }

  /** Sends what is queued and gives the queue back. Close the rings first. */
  close(): void {
    this.nic.txFlush()
    this.nic.close()
  }
}

function findAddress(nic: Nic, given: string | undefined): number {
  if (given !== undefined) {
    const address = parseIpv4(given)
    if (address === null)
      throw new ArgumentError(`"${given}" is not an IPv4 address`, 'write it as 192.0.2.1')
    return address
  }
  const entry = networkInterfaces()[nic.info.name]?.find((candidate) => candidate.family === 'IPv4')
  if (entry === undefined) {
    throw new ArgumentError(
      `interface ${nic.info.name} has no IPv4 address`,
      'give it one, or name an address of your own with ownAddress',
    )
  }
  return parseIpv4(entry.address)!
}
