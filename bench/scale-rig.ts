import { IpAddress } from '../address.ts'
import { get32 } from '../bytes.ts'
import { allocateArea, asNicMemory } from '../driver/area.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import type { Tcb } from '../stack/tcp/tcb.ts'
import { ACK, PSH, SYN } from '../stack/wire/tcp.ts'
import { type Flow, NIOV, PORT, putSegment, ScriptedNic, SHAPES } from './replay.ts'

const AREA_BYTES = 64 << 20
/** Connections per client address. */
const PORTS = 50_000
export const REQUEST_BYTES = 100

/** One stack with a listener, and a script that plays its clients. */
export class ConnectionsRig {
  readonly nic = new ScriptedNic()
  readonly stack: Stack
  /** Told when each pass of the stack began and ended, milliseconds. */
  onPass: ((began: number, ended: number) => void) | null = null
  readonly #clients: IpAddress[] = []
  /** As of a machine that has been up for a while: such a number has an object of its own wherever it is kept. */
  #time = 1e10 + 0.5

  constructor(connections: number) {
    const area = allocateArea(AREA_BYTES, 0)
    this.stack = new Stack({
      nic: this.nic,
      memory: asNicMemory(area, NIOV),
      clock: { now: () => this.#time },
      entropy: systemEntropy(),
      tcp: { maxConnections: connections + 1 },
    })
    this.stack.addAddress(SHAPES[4]!.server, true)
    const { w3 } = SHAPES[4]!.client
    for (let i = 0; i * PORTS < connections + PORTS; i++) this.#clients.push(IpAddress.v4(w3 + 256 * (i + 1)))
    this.listener = this.stack.tcp.listen(null, PORT, 16)!
  }
  readonly listener: NonNullable<ReturnType<Stack['tcp']['listen']>>

  /** One segment of a flow; returns what the stack sent last. */
  segment(flow: Flow, flags: number, payload: number): Uint8Array | undefined {
    this.nic.sent.length = 0
    this.nic.budget = 1
    this.nic.next = (bytes, at) => putSegment(SHAPES[4]!, bytes, at, flow, flags, payload)
    this.pass(1000)
    flow.seq = (flow.seq + payload + ((flags & SYN) !== 0 ? 1 : 0)) | 0
    return this.nic.sent.at(-1)
  }

  pass(us: number): void {
    this.#time += us
    if (this.onPass === null) {
      this.stack.poll()
      return
    }
    const began = performance.now()
    this.stack.poll()
    this.onPass(began, performance.now())
  }

  /** A connection that does nothing yet. */
  open(index: number): { flow: Flow; tcb: Tcb } {
    const flow: Flow = {
      client: this.#clients[Math.floor(index / PORTS)]!,
      port: 10_000 + (index % PORTS),
      seq: index,
      ack: 0,
      tsEcr: 0,
      tsVal: 1,
    }
    const answer = this.segment(flow, SYN, 0)
    if (answer === undefined) throw new Error(`connection ${index} was not answered`)
    flow.ack = (get32(answer, 38) + 1) | 0
    this.segment(flow, ACK, 0)
    const tcb = this.stack.tcp.accept(this.listener)
    if (tcb === null) throw new Error(`connection ${index} was not opened`)
    return { flow, tcb }
  }

  /** The client asks, the server answers, the client acknowledges. */
  exchange({ flow, tcb }: { flow: Flow; tcb: Tcb }, response: Uint8Array): void {
    this.segment(flow, ACK | PSH, REQUEST_BYTES)
    this.stack.tcp.dropQueue(tcb)
    this.stack.tcp.send(tcb, response, 0, this.#time)
    flow.ack = (flow.ack + response.length) | 0
    this.segment(flow, ACK, 0)
  }
}
