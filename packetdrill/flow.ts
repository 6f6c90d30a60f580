import type { Packet, TcpOption } from './script/ast.ts'
import type { Segment } from './wire/tcp.ts'

export const SCRIPT_PORT = 8080
const FIRST_REMOTE_PORT = 40_001
/** How near to the right edge of the window a number must be to be meant as such. */
const EDGE_REACH = 2

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
  /** Injected data segments that no pure ACK was forgiven for yet. */
  ackCredit = 0
  /** The script's side has sent its FIN. */
  finInjected = false
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

  /** A number at a right edge that the script thinks of, moved to the one in force. */
  rebase(script: number): number {
    if (this.liveEdge === null) return script >>> 0
    const byBuffer = this.scriptBuffer === null ? null : (this.scriptAck + this.scriptBuffer) >>> 0
    for (const edge of [this.scriptEdge, byBuffer]) {
      const distance = edge === null ? EDGE_REACH + 1 : (script - edge) | 0
      if (Math.abs(distance) <= EDGE_REACH) return (this.liveEdge + distance) >>> 0
    }
    return script >>> 0
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
  /** Where sockets of the script listen. */
  listenPort = SCRIPT_PORT
  #nextRemotePort = FIRST_REMOTE_PORT
  #listening = false
  #connecting = false

  /** A socket listens: the next injected segment begins a connection. */
  onListen(): void {
    this.#listening = true
  }

  /** A socket connects: the next SYN of the stack begins a connection. */
  onConnect(): void {
    this.#connecting = true
  }

  forInbound(packet: Packet): Flow {
    if (packet.ports !== null) {
      const { source, destination } = packet.ports
      return this.#byPorts(destination, source) ?? this.#add(destination, source)
    }
    const newest = this.all.at(-1)
    if (newest !== undefined && !this.#listening) return newest
    this.#listening = false
    return this.#add(this.listenPort, this.#nextRemotePort++)
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
    const flow = new Flow(localPort, remotePort)
    flow.cookie = this.all.at(-1)?.cookie ?? null
    this.all.push(flow)
    return flow
  }
}
