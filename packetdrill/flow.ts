import type { Packet, TcpOption } from './script/ast.ts'
import type { Segment } from './wire/tcp.ts'

export const SCRIPT_PORT = 8080
const FIRST_REMOTE_PORT = 40_001
/** How near to the right edge of the window a number must be to be meant as such. */
const EDGE_REACH = 2

/** Numbers of injected segments that were moved to the window in force. */
interface Moved {
  readonly from: number
  readonly to: number
  /** To be added to numbers from `from` to `to`, both included. */
  readonly by: number
}

/** One connection of a script: how its numbers map to those on the wire. The script's own side is used as it is written. */
export class Flow {
  readonly localPort: number
  readonly remotePort: number
  /** The stack's initial sequence number, in the script and on the wire; null before its SYN. */
  isn: { readonly script: number; readonly live: number } | null = null
  /** First TSval of the stack, in the script and on the wire. */
  firstTs: { readonly script: number; readonly live: number } | null = null
  /** TSval of the stack by what the script calls it, the latest last. */
  readonly timestamps = new Map<number, number>()
  /** Sequence number of the script's latest SYN. */
  remoteIsn: number | null = null
  /** A new SYN came: the stack may answer with a new initial sequence number. */
  reopened = false
  /** Window scale of the stack's SYN, as the script has it and as it really is. */
  scriptShift = 0
  liveShift = 0
  /** Right edge of the stack's window, as the script has it and as it really is; null before it was said. */
  scriptEdge: number | null = null
  liveEdge: number | null = null
  /** Latest ack number of the script's expectations, and what it takes the receive buffer for: another way to say the edge. */
  scriptAck = 0
  scriptBuffer: number | null = null
  /** Behind what was injected without a gap. */
  scriptNext = 0
  readonly #moved: Moved[] = []
  /** Injected data segments that no pure ACK was forgiven for yet. */
  ackCredit = 0
  /** The script's side has sent its FIN. */
  finInjected = false
  /** Opened by a SYN of the script's. */
  passive = false
  /** The script's side has answered the SYN,ACK. */
  established = false
  /** Fast Open cookie that the stack gave, to this connection or one before it. */
  cookie: readonly number[] | null = null

  constructor(localPort: number, remotePort: number) {
    this.localPort = localPort
    this.remotePort = remotePort
  }

  /** A number of the stack's side: from the script to the wire. */
  toLive(script: number): number {
    return this.isn === null ? script >>> 0 : (script - this.isn.script + this.isn.live) >>> 0
  }

  toScript(live: number): number {
    return this.isn === null ? live : (live - this.isn.live + this.isn.script) >>> 0
  }

  /**
   * How far an injected number at the right edge that the script thinks of is from the one in force. What comes next in order is
   * no such number, unless the script's window is closed there.
   */
  distance(script: number): number {
    if (this.liveEdge === null) return 0
    const byBuffer = this.scriptBuffer === null ? null : (this.scriptAck + this.scriptBuffer) >>> 0
    const inOrder = ((script - this.scriptNext) | 0) <= 0
    for (const edge of [this.scriptEdge, byBuffer]) {
      const beyond = edge === null ? EDGE_REACH + 1 : (script - edge) | 0
      if (Math.abs(beyond) <= EDGE_REACH && !(inOrder && beyond < 0)) return (this.liveEdge - edge!) | 0
    }
    return 0
  }

  /** An injected segment of `length`, SYN and FIN counted, was moved `by` so much. */
  noteInjected(script: number, length: number, by: number): void {
    const end = (script + length) >>> 0
    if (by !== 0) this.#moved.push({ from: script >>> 0, to: end, by })
    else if (((script - this.scriptNext) | 0) <= 0 && ((end - this.scriptNext) | 0) > 0) this.scriptNext = end
  }

  /** A number that the stack is expected to name: moved as far as the injected segment that it lies in. */
  moved(script: number): number {
    const found = this.#moved.findLast(
      ({ from, to }) => ((script - from) | 0) >= 0 && ((to - script) | 0) >= 0,
    )
    return (script + (found?.by ?? 0)) >>> 0
  }

  /** A segment of the stack's in the numbers of the script. */
  inScriptNumbers(segment: Segment): Segment {
    const options = segment.options.map((option): TcpOption => {
      if (option.kind !== 'TS' || option.value === null || this.firstTs === null) return option
      return { ...option, value: (option.value - this.firstTs.live + this.firstTs.script) >>> 0 }
    })
    return { ...segment, seq: this.toScript(segment.seq), options }
  }
}

/** The connections of a script, oldest first. */
export class Flows {
  readonly all: Flow[] = []
  #nextRemotePort = FIRST_REMOTE_PORT
  /** Ports of bound sockets, by the script's descriptor. */
  readonly #bound = new Map<number, number>()
  /** Ports of those that listen, the latest last. */
  readonly #listeners = new Map<number, number>()
  #listening = false
  #connecting = false
  #accepted = 0

  onBind(fd: number, port: number): void {
    this.#bound.set(fd, port)
  }

  /** A socket listens: the next injected segment begins a connection. */
  onListen(fd: number): void {
    if (!this.#listeners.has(fd)) this.#listening = true
    this.#listeners.set(fd, this.#bound.get(fd) ?? SCRIPT_PORT)
  }

  onAccept(): void {
    this.#accepted++
  }

  onClose(fd: number): void {
    this.#bound.delete(fd)
    this.#listeners.delete(fd)
  }

  /** A socket connects: the next SYN of the stack begins a connection. */
  onConnect(): void {
    this.#connecting = true
  }

  /** @param answer the segment that the script expects next, before anything else is injected; null when none */
  forInbound(packet: Packet, answer: Packet | null): Flow {
    const flow = this.#forInbound(packet, answer)
    if (packet.flags.syn && !packet.flags.ack) flow.passive = true
    else if (packet.flags.ack && !packet.flags.syn && !packet.flags.rst) flow.established = true
    return flow
  }

  #forInbound(packet: Packet, answer: Packet | null): Flow {
    if (packet.ports !== null) {
      const { source, destination } = packet.ports
      return this.#byPorts(destination, source) ?? this.#add(destination, source)
    }
    const newest = this.all.at(-1)
    if (newest !== undefined) {
      // To a listener that has just begun comes a SYN, or what is none of an open connection's.
      const first = this.#listening && (packet.flags.syn || !newest.established)
      if (!first && !this.#isAnother(packet, newest, answer)) return newest
    }
    this.#listening = false
    const port = [...this.#listeners.values()].at(-1) ?? SCRIPT_PORT
    return this.#add(port, this.#nextRemotePort++)
  }

  /**
   * Whether a SYN without ports is one of a further connection, and not one in the midst of the newest: there is a listener, the
   * newest connection is open, and a SYN,ACK is expected, which that has for no SYN but one behind its end; or nothing is,
   * while connections wait to be accepted.
   */
  #isAnother(packet: Packet, newest: Flow, answer: Packet | null): boolean {
    const { syn, ack } = packet.flags
    if (!syn || ack || this.#listeners.size === 0 || !newest.passive || !newest.established) return false
    if (answer === null)
      return this.all.filter((flow) => flow.passive && flow.established).length > this.#accepted
    if (!answer.flags.syn || !answer.flags.ack) return false
    return packet.seq === newest.remoteIsn || !newest.finInjected
  }

  /** The connection that a segment of the stack's is of, null when it is of none. */
  forOutbound(segment: Segment): Flow | null {
    if (this.#connecting && segment.flags.syn && !segment.flags.ack) {
      this.#connecting = false
      return (
        this.#byPorts(segment.source, segment.destination) ?? this.#add(segment.source, segment.destination)
      )
    }
    return this.#byPorts(segment.source, segment.destination)
  }

  #byPorts(localPort: number, remotePort: number): Flow | null {
    return this.all.findLast((flow) => flow.localPort === localPort && flow.remotePort === remotePort) ?? null
  }

  #add(localPort: number, remotePort: number): Flow {
    // Ports that the script has named are taken.
    while (this.#byPorts(localPort, remotePort) !== null) remotePort = this.#nextRemotePort++
    const flow = new Flow(localPort, remotePort)
    flow.cookie = this.all.at(-1)?.cookie ?? null
    this.all.push(flow)
    return flow
  }
}
