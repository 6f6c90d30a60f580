import { ArgumentError } from '../../errors.ts'

/** A device string is wrong. `at` is where, in characters from its beginning; the message shows it. */
export class DeviceError extends ArgumentError {
  readonly device: string
  readonly at: number

  constructor(device: string, at: number, message: string, remedy = '') {
    super(`${message}\n  ${device}\n  ${' '.repeat(at)}^`, remedy)
    this.name = 'DeviceError'
    this.device = device
    this.at = at
  }
}

/** A queue of an interface over AF_XDP: `xdp:eth0`, `xdp:eth0/2`, `xdp:eth0/0-3`, `xdp:eth0?mode=zerocopy`. */
export interface XdpSpec {
  readonly driver: 'xdp'
  readonly name: string
  /** The first receive queue. */
  readonly queue: number
  /** How many queues, from that one on; each has a NIC and a stack. */
  readonly queues: number
  readonly mode: 'auto' | 'native' | 'generic'
  readonly copy: 'auto' | 'copy' | 'zerocopy'
  readonly netns?: string
}

/** A TAP device: `tap:tap0`, `tap:tap0?persist=yes&queues=many&mtu=9000&offload=off`. */
export interface TapSpec {
  readonly driver: 'tap'
  readonly name: string
  readonly persist?: boolean
  readonly multiQueue?: boolean
  readonly offload: boolean
  /** 0 = as it is. */
  readonly mtu: number
  readonly netns?: string
}

/** A packet socket: `packet:eth0`, `packet:eth0?fanout=7`. */
export interface PacketSpec {
  readonly driver: 'packet'
  readonly name: string
  /** Group that frames are shared out in; absent: every frame comes here. */
  readonly fanout?: number
  /** What keeps the host's kernel from answering for an address of its own. */
  readonly guard: 'auto' | 'socket' | 'nftables'
  readonly netns?: string
}

/** Raw IP sockets: `raw:192.0.2.1`, `raw:2001:db8::1`. The address is the host's. */
export interface RawSpec {
  readonly driver: 'raw'
  readonly address: string
}

/** One end of a link in this process: `memory:`, `memory:NAME`. The first to open a name gets one end, the second the other. */
export interface MemorySpec {
  readonly driver: 'memory'
  readonly name: string
  /** Bytes of layer 3. */
  readonly mtu: number
}

/** A capture file, played once: `pcap:FILE`. Everything behind the colon is the path. */
export interface PcapSpec {
  readonly driver: 'pcap'
  readonly file: string
}

/** The best way into an interface that works: `auto:eth0`, `auto:eth0/1`. */
export interface AutoSpec {
  readonly driver: 'auto'
  readonly name: string
  readonly queue: number
  readonly netns?: string
}

/** What a device string says. */
export type DeviceSpec = XdpSpec | TapSpec | PacketSpec | RawSpec | MemorySpec | PcapSpec | AutoSpec
export type DeviceDriver = DeviceSpec['driver']
