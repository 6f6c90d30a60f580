import type { IpAddress } from '../../address.ts'
import type { TcpContext } from '../tcp/context.ts'
import type { FlowTable } from '../tcp/flows.ts'
import type { Listeners } from '../tcp/listeners.ts'
import type { Segment } from '../tcp/segment.ts'
import { SYN_SENT } from '../tcp/state.ts'
import type { Tcb } from '../tcp/tcb.ts'
import { ACK } from '../wire/tcp.ts'
import { HeldPorts } from './held-ports.ts'
import { EPHEMERAL_PORTS, FIRST_EPHEMERAL, type PeerPorts, PeerPortsTable } from './peer-ports.ts'
import { answerMark } from './shared-ports.ts'
import type { Siblings } from './siblings.ts'

/** How often an attempt changes its port: with 32 queues one in 3000 does not come home, with 16 one in ten millions. */
const MOST_MOVES = 256
/** Of the ports known to come home, how many are looked at before an unknown one is tried. */
const HOME_LOOKS = 64

/** What the ports ask of the TCP module. */
export interface AttemptOwner {
  /** Takes the attempt to connect back, and begins it again from another port. */
  restart(tcb: Tcb, port: number, now: number): void
}

/**
 * The ports that connections begin from. Where the interface has other queues, whose stacks have the same addresses, a port
 * belongs to one of them as long as a connection from it lives, TIME-WAIT included; and as it is the device that decides where the
 * answer to a SYN comes in, an attempt whose answer came to a sibling begins again from another port, until it comes home.
 */
export class LocalPorts {
  readonly #owner: AttemptOwner
  readonly #context: TcpContext
  readonly #flows: FlowTable
  readonly #listeners: Listeners
  #siblings: Siblings | null = null
  #held: HeldPorts | null = null
  readonly #peers = new PeerPortsTable()
  /** Connections in SYN-SENT that may still change their ports, and how often they have. */
  readonly #attempts = new Map<Tcb, number>()
  #next: number

  constructor(owner: AttemptOwner, context: TcpContext, flows: FlowTable, listeners: Listeners) {
    this.#owner = owner
    this.#context = context
    this.#flows = flows
    this.#listeners = listeners
    this.#next = (context.entropy() >>> 0) % EPHEMERAL_PORTS
  }

  /** Once null again, `SharedPorts.abandon` gives back what connections have. */
  set siblings(siblings: Siblings | null) {
    this.#siblings = siblings
    this.#attempts.clear()
    this.#held = siblings === null ? null : new HeldPorts(this.#context.wheel, siblings.ports)
  }

  /** A port for a connection to this peer, which is taken; 0 when none is free. */
  choose(local: IpAddress, remote: IpAddress, remotePort: number): number {
    if (this.#siblings === null) return this.#unknown(local, remote, remotePort, null)
    const peer = this.#peers.of(local, remote, remotePort)
    const looks = Math.min(peer.home.length, HOME_LOOKS)
    const port =
      this.#home(local, remote, remotePort, peer, looks) ||
      this.#unknown(local, remote, remotePort, peer) ||
      this.#home(local, remote, remotePort, peer, peer.home.length)
    // Nothing ever came here: that may change, and is to be noticed then.
    if (port === 0 && peer.home.length === 0) peer.forget()
    return port
  }

  /**
   * A connection begins: its SYN is about to leave. @param chosen its port is from `choose`; else the program named it, and it is
   * not changed
   */
  begin(tcb: Tcb, chosen: boolean): void {
    const siblings = this.#siblings
    if (siblings === null) return
    // One that a sibling has too, as both programs share it (SO_REUSEPORT), is nobody's to guard.
    tcb.portTaken = chosen || siblings.ports.take(tcb.localPort)
    if (!chosen) return
    this.#attempts.set(tcb, 0)
    this.await(tcb)
  }

  /** The SYN is about to leave, perhaps from another port than before. */
  await(tcb: Tcb): void {
    const { remote, remotePort, localPort, snd } = tcb
    const mark = answerMark(remote.w0, remote.w1, remote.w2, remote.w3, remotePort, (snd.iss + 1) | 0)
    this.#siblings?.ports.expect(localPort, mark)
  }

  /** The peer has answered, here. */
  cameHome(tcb: Tcb): void {
    if (!this.#attempts.delete(tcb)) return
    const { local, localPort, remote, remotePort } = tcb
    this.#siblings!.ports.forget(localPort)
    this.#peers.of(local, remote, remotePort).cameHome(localPort)
  }

  /** The connection is over. */
  end(tcb: Tcb): void {
    if (!tcb.portTaken) return
    tcb.portTaken = false
    const ports = this.#siblings?.ports
    if (this.#attempts.delete(tcb)) ports?.forget(tcb.localPort)
    ports?.release(tcb.localPort)
  }

  /** Attempts whose answers have come to siblings begin again. For every poll. */
  look(now: number): void {
    if (this.#attempts.size === 0) return
    const { ports } = this.#siblings!
    if (!ports.news()) return
    for (const [tcb, moves] of this.#attempts) {
      if (ports.cameElsewhere(tcb.localPort)) this.#move(tcb, moves, now)
    }
  }

  /**
   * A segment that nobody here has a use for. Returns whether it is for a connection of a sibling's: then it is dropped in silence,
   * and the sibling hears of it if it is the answer to its SYN.
   */
  foreign(segment: Segment): boolean {
    const siblings = this.#siblings
    if (siblings === null) return false
    const { ports } = siblings
    const { destinationPort: port, list } = segment
    const sibling = ports.sibling(port)
    // Fragments have no ports and come to any queue, whosever the connection is.
    if (sibling < 0 && list < 0) return false
    this.#context.counters.dropOtherQueue++
    if (sibling >= 0 && (segment.flags & ACK) !== 0) {
      const { source0, source1, source2, source3, sourcePort, ack } = segment
      if (ports.note(port, sibling, answerMark(source0, source1, source2, source3, sourcePort, ack)))
        siblings.wake(sibling)
    }
    return true
  }

  #move(tcb: Tcb, moves: number, now: number): void {
    const { local, localPort, remote, remotePort } = tcb
    const { ports } = this.#siblings!
    ports.forget(localPort)
    this.#peers.of(local, remote, remotePort).cameElsewhere(localPort)
    const stays = tcb.state !== SYN_SENT || moves >= MOST_MOVES
    const port = stays ? 0 : this.choose(local, remote, remotePort)
    if (port === 0) {
      this.#attempts.delete(tcb)
      return
    }
    this.#attempts.set(tcb, moves + 1)
    this.#held!.hold(localPort, now)
    this.#context.counters.portMoves++
    this.#owner.restart(tcb, port, now)
  }

  /** One from which the peer's answers are known to come here: the one not used for longest. */
  #home(local: IpAddress, remote: IpAddress, remotePort: number, { home }: PeerPorts, looks: number): number {
    for (let i = 0; i < looks; i++) {
      const port = home.shift()!
      home.push(port)
      if (this.#take(local, port, remote, remotePort)) return port
    }
    return 0
  }

  /** One of which nothing is known. */
  #unknown(local: IpAddress, remote: IpAddress, remotePort: number, peer: PeerPorts | null): number {
    for (let tries = 0; tries < EPHEMERAL_PORTS; tries++) {
      const port = FIRST_EPHEMERAL + (this.#next++ & (EPHEMERAL_PORTS - 1))
      if (peer?.isAway(port) !== true && this.#take(local, port, remote, remotePort)) return port
    }
    return 0
  }

  #take(local: IpAddress, port: number, remote: IpAddress, remotePort: number): boolean {
    if (this.#flows.get(local, port, remote, remotePort) !== null || this.#listeners.uses(port)) return false
    const ports = this.#siblings?.ports
    return ports === undefined || (!ports.awaits(port) && ports.take(port))
  }
}
