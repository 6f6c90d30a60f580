import { IpAddress } from '../../address.ts'
import { get16, get32 } from '../../bytes.ts'
import type { Timer } from '../timers.ts'
import type { Ecn } from './ecn.ts'
import type { OutOfOrderQueue } from './out-of-order-queue.ts'
import { Receiver } from './receiver.ts'
import type { Segment } from './segment.ts'
import { Sender } from './sender.ts'
import type { PayloadSink } from './sink.ts'
import { SocketOptions } from './socket-options.ts'
import { CLOSED } from './state.ts'

/** What few connections ever need. */
export class Seldom {
  /** Cookie that the SYN,ACK gives to a client which asked for one, two words. */
  fastOpenCookie: Int32Array | null = null
  /** Keepalive probes sent since something was heard. */
  keepProbes = 0
  /** ACKs that answered unacceptable segments in this second (`TcpConfig.invalidAcksPerSecond`). */
  invalidSecond = 0
  invalidAcks = 0
  /** SND.UP and RCV.UP: sequence numbers just behind the last urgent byte (RFC 9293 3.8.5); received, only if `urgent`. */
  sendUrgentEnd = 0
  urgentEnd = 0
  urgent = false
  /** Accepted with the data of its SYN, before the handshake was over (RFC 7413). */
  fastOpened = false
  /** What `Receiver.hasDsack` says is to be reported (RFC 2883). */
  dsackStart = 0
  dsackEnd = 0
  /** Errno of an error that did not end the connection but will be the reason if it times out; 0 = none (RFC 5461). */
  softError = 0
  /** Armed while pacing holds something back. */
  paceTimer: Timer | null = null
}

/** Transmission control block (RFC 9293 section 3.3.1): one connection. */
export class Tcb {
  /** One of the states of RFC 9293: `CLOSED`, `ESTABLISHED` …. */
  state = CLOSED
  /** Of the same version. Connections of one interface address share its object. */
  local: IpAddress = IpAddress.any4
  /** The peer's address, of the same version as `local`. */
  remote: IpAddress = IpAddress.any4
  /** Host order. */
  localPort = 0
  /** Host order. */
  remotePort = 0
  /** Hardware address its frames go to: first two bytes, -1 until known, and last four. */
  remoteMacHigh = -1
  /** Its last four bytes. */
  remoteMacLow = 0

  /** Negotiated with the SYNs. */
  timestamps = false
  /** Selective acknowledgments: negotiated. */
  sack = false
  /** Window scaling: negotiated. */
  windowScaling = false
  /** Null where congestion is not notified explicitly. */
  ecn: Ecn | null = null
  /** Added to the clock for our TSval, so that uptime does not leak (RFC 7323 section 5.4). */
  tsOffset = 0

  /** The receiving half. */
  readonly rcv: Receiver
  /** The sending half. */
  readonly snd: Sender
  /** Null unless armed, like the others. */
  retransmitTimer: Timer | null = null
  /** Armed while an ACK is delayed. */
  ackTimer: Timer | null = null
  /** TIME-WAIT and orphaned FIN-WAIT-2 end with it; before that it paces keepalive. */
  lifeTimer: Timer | null = null
  /** What few connections need; null until one does. */
  rare: Seldom | null = null

  /** Opened by a listener: SYN-RECEIVED goes back to LISTEN, not to the user (RFC 9293 3.10.7.4). */
  passive = false
  /** Milliseconds: a number that is no small integer would have an object of its own. */
  #heardMs = 0

  /** `EVENT_*` bits not yet drained. */
  events = 0
  /** Positive errno the connection ended with, 0 when in order. */
  error = 0
  /** The application has let go: nobody will read or write any more. */
  orphaned = false
  /** The NIC has been asked to bring its segments here, from its queue or from all (`Steering.steer`), by whoever drives the stack. */
  steered: 'here' | 'everywhere' | null = null
  /** Its local port is ours among the stacks of the interface (`SharedPorts.take`). */
  portTaken = false
  /** Listener that will hand the connection out, until accepted. */
  listener: Listener | null = null
  /** Free for the owner (the socket layer's object). */
  owner: object | null = null
  /** Who takes payload as it comes; null: it is queued. */
  sink: PayloadSink | null = null
  /** Its row in `FlowRows`; 0 without. */
  row = 0
  /** What setsockopt changed; shared until changed. */
  options: SocketOptions

  /** @param noHoles see `Receiver` */
  constructor(noHoles: OutOfOrderQueue, sendLimit: number, options: SocketOptions) {
    this.options = options
    this.rcv = new Receiver(noHoles)
    this.snd = new Sender(sendLimit)
  }

  /** Bytes the application has not read yet up to the end of urgent data; 0 when none is announced (RFC 9293 3.8.5). */
  urgentBytes(): number {
    const { rare, rcv } = this
    if (rare === null || !rare.urgent) return 0
    return Math.max(0, (rare.urgentEnd - ((rcv.nxt - rcv.queuedBytes - (rcv.finished ? 1 : 0)) | 0)) | 0)
  }

  /** Takes the hardware address a frame came from. @param header its Ethernet header */
  learnMac(header: Uint8Array): void {
    this.remoteMacHigh = get16(header, 6)
    this.remoteMacLow = get32(header, 8)
  }

  /** Milliseconds since we sent the timestamp that the peer echoes; less than 0 for one we never sent. @param tick now, milliseconds */
  echoAge(tsEcr: number, tick: number): number {
    return (((tick + this.tsOffset) | 0) - tsEcr) | 0
  }

  /** When something was last heard of the peer (microseconds, to the millisecond); kept for keepalive, to the accuracy of a burst. */
  get heardAt(): number {
    return this.#heardMs * 1000
  }

  set heardAt(us: number) {
    this.#heardMs = Math.floor(us / 1000)
  }

  /** See `Seldom.fastOpened`. */
  get fastOpened(): boolean {
    return this.rare?.fastOpened ?? false
  }

  /** See `Seldom.softError`. */
  get softError(): number {
    return this.rare === null ? 0 : this.rare.softError
  }

  set softError(errno: number) {
    if (errno !== 0 || this.rare !== null) this.seldom().softError = errno
  }

  /** `rare`, made when it is not there. */
  seldom(): Seldom {
    this.rare ??= new Seldom()
    return this.rare
  }
}

/** Whether sockets at both addresses would take the same segments (Linux `inet_rcv_saddr_equal`); null is every address. */
export function addressesMeet(
  one: IpAddress | null,
  oneV6Only: boolean,
  other: IpAddress | null,
  otherV6Only: boolean,
): boolean {
  if (one !== null && other !== null && !one.unspecified && !other.unspecified) return one.equals(other)
  // A wildcard: they meet where both take the same version.
  return (
    (takesVersion(one, oneV6Only, 4) && takesVersion(other, otherV6Only, 4)) ||
    (takesVersion(one, oneV6Only, 6) && takesVersion(other, otherV6Only, 6))
  )
}

function takesVersion(address: IpAddress | null, v6Only: boolean, version: number): boolean {
  if (address === null) return true
  // IPV6_V6ONLY (RFC 3493 5.3): otherwise an IPv6 wildcard takes IPv4 too.
  return address.version === version || (version === 4 && address.unspecified && !v6Only)
}

/** A passive open: connections wait here, established and in order, until accepted. */
export class Listener {
  /** Null: every address of the interface. */
  readonly address: IpAddress | null
  /** Host order. */
  readonly port: number
  /** As listen(2) was told: one more may wait (`full`). */
  backlog: number
  /** Established connections that wait to be accepted, in order. */
  readonly ready: Tcb[] = []
  /** Connections in SYN-RECEIVED. */
  halfOpen = 0
  /** Of those, opened with data in the SYN. */
  fastOpens = 0
  /** `EVENT_ACCEPT` when something is ready; whoever owns the listener takes it back. */
  events = 0
  /** Whoever is told of its events. */
  owner: object | null = null
  /** It takes no connections any more. */
  closed = false
  /** Inherited by the connections accepted. */
  options: SocketOptions

  /**
   * @param address null = every address of the interface; `IpAddress.any4` every IPv4 one, `IpAddress.any6` every one, or
   *   with `SocketOptions.v6Only` every IPv6 one
   */
  constructor(
    address: IpAddress | null,
    port: number,
    backlog: number,
    options: SocketOptions = SocketOptions.default,
  ) {
    this.options = options
    this.address = address
    this.port = port
    this.backlog = backlog
  }

  /** No further connection may wait to be accepted (Linux `sk_acceptq_is_full`). */
  get full(): boolean {
    return this.ready.length > this.backlog
  }

  /** Whether a SYN to this address is the listener's. */
  accepts(segment: Segment): boolean {
    const { address } = this
    if (address === null) return true
    if (address.unspecified) return takesVersion(address, this.options.v6Only, segment.version)
    return (
      address.w3 === segment.destination3 &&
      address.w2 === segment.destination2 &&
      address.w1 === segment.destination1 &&
      address.w0 === segment.destination0
    )
  }

  /** Whether both can't listen on one port. */
  conflicts(other: IpAddress | null, v6Only: boolean): boolean {
    return addressesMeet(this.address, this.options.v6Only, other, v6Only)
  }
}
