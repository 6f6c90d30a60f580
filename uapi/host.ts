import { networkInterfaces } from 'node:os'
import { ArgumentError } from '../driver/errors.ts'
import type { Nic, NicMemory } from '../driver/nic.ts'
import { type Clock, SystemClock } from '../stack/clock.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { IpAddress } from '../stack/ip/address.ts'
import type { IpConfig } from '../stack/ip/options.ts'
import { Stack } from '../stack/stack.ts'
import type { TcpConfig } from '../stack/tcp/options.ts'
import { allocateArea, asNicMemory } from './area.ts'
import { openDevice } from './device.ts'
import { HostNetwork } from './host-network.ts'
import { Kernel } from './kernel/kernel.ts'

/** Memory of a queue that has no area: enough for handshakes. */
const OWN_AREA_BYTES = 2 << 20

export interface HostOptions {
  /** `xdp:eth0`, `xdp:eth0/1`, `xdp:eth0?mode=native`, or an open NIC. The host closes it. */
  readonly device: string | Nic
  /** IPv4 or IPv6, as text; default the interface's first IPv4 address, or else its first IPv6 one. */
  readonly address?: string
  /** The address is the stack's alone: it answers and asks ARP or neighbour solicitations for it. Default false: it is the machine's. */
  readonly ownAddress?: boolean
  readonly clock?: Clock
  /** Bits that the addresses on the link share with ours; needed with `gateway`. Default: every address is on the link. */
  readonly prefixLength?: number
  /** Where frames to addresses beyond the link go, IPv4 or IPv6 as text. */
  readonly gateway?: string
  readonly tcp?: Partial<TcpConfig>
  /** VLAN tags, limits of reassembly and ICMP. */
  readonly ip?: Partial<IpConfig>
  /** Fragments taken from the NIC at a time. */
  readonly burst?: number
}

/** One NIC with a stack of its own and the kernel side that rings are made on: what `Ring.queueInit` needs. */
export class Host {
  readonly nic: Nic
  readonly stack: Stack
  readonly kernel: Kernel
  readonly address: IpAddress
  /** What the host's kernel knows of the interface; null with addresses of our own, and without netlink. */
  readonly network: HostNetwork | null

  private constructor(
    nic: Nic,
    stack: Stack,
    kernel: Kernel,
    address: IpAddress,
    network: HostNetwork | null,
  ) {
    this.nic = nic
    this.stack = stack
    this.kernel = kernel
    this.address = address
    this.network = network
    if (network === null) return
    kernel.outside = network
    network.onNews = () => {
      stack.kick()
      kernel.interrupt()
    }
  }

  /** Opens the device and starts a stack on it. @throws NicError, ArgumentError with what to do about it */
  static open(options: HostOptions): Host {
    const nic = typeof options.device === 'string' ? openDevice(options.device) : options.device
    const clock = options.clock ?? new SystemClock()
    const network = options.ownAddress === true ? null : HostNetwork.open(nic, clock)
    try {
      const address = findAddress(nic, network, options.address)
      const memoryFor = (): NicMemory => asNicMemory(allocateArea(OWN_AREA_BYTES, nic.info.tailBytes))
      const stack = new Stack({
        nic,
        memory: memoryFor(),
        clock,
        entropy: systemEntropy(),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
        ...(options.ip === undefined ? {} : { ip: options.ip }),
        ...(options.burst === undefined ? {} : { burst: options.burst }),
      })
      const kernel = new Kernel({ memoryFor })
      kernel.addStack(stack)
      const bits = options.prefixLength ?? 0
      if (!Number.isInteger(bits) || bits < 0 || bits > (address.version === 4 ? 32 : 128)) {
        throw new ArgumentError(`an address has no prefix of ${bits} bits`)
      }
      stack.addAddress(address, options.ownAddress ?? false, bits)
      if (options.gateway !== undefined) stack.setGateway(findGateway(address, options.gateway))
      network?.attach(stack.link)
      return new Host(nic, stack, kernel, address, network)
    } catch (error) {
      network?.close()
      nic.close()
      throw error
    }
  }

  /** Sends what is queued and gives the queue back. Close the rings first. */
  close(): void {
    this.network?.close()
    this.nic.txFlush()
    this.nic.close()
  }
}

function findGateway(address: IpAddress, text: string): IpAddress {
  const gateway = IpAddress.parse(text)
  if (gateway?.version === address.version && gateway.unicast) return gateway
  throw new ArgumentError(`"${text}" is no gateway for ${address}`, 'it has an address of the same version')
}

function findAddress(nic: Nic, network: HostNetwork | null, given: string | undefined): IpAddress {
  if (given !== undefined) {
    const address = IpAddress.parse(given)
    if (address === null)
      throw new ArgumentError(`"${given}" is not an IP address`, 'write it as 192.0.2.1 or 2001:db8::1')
    return address
  }
  const known = network?.addresses ?? []
  const first = known.find(({ address }) => address.version === 4) ?? known[0]
  if (first !== undefined) return first.address
  const all = networkInterfaces()[nic.info.name] ?? []
  const entry =
    all.find((candidate) => candidate.family === 'IPv4') ??
    all.find((candidate) => candidate.family === 'IPv6' && candidate.scopeid === 0)
  if (entry === undefined) {
    throw new ArgumentError(
      `interface ${nic.info.name} has no address`,
      'give it one, or name an address of your own with ownAddress',
    )
  }
  return IpAddress.parse(entry.address)!
}
