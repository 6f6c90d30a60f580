import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { IpAddress } from '../address.ts'
import { get32 } from '../bytes.ts'
import { allocateArea, asNicMemory } from '../driver/area.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import type { Tcb } from '../stack/tcp/tcb.ts'
import { Timer, TimerWheel } from '../stack/timers.ts'
import { ACK, PSH, SYN } from '../stack/wire/tcp.ts'
import { type Flow, NIOV, PORT, putSegment, ScriptedNic, SHAPES } from './replay.ts'
import { type Spread, spread } from './spread.ts'

const AREA_BYTES = 64 << 20
/** Connections per client address. */
const PORTS = 50_000
const REQUEST_BYTES = 100

/** Memory of connections that have exchanged a request and a response and are idle. */
export interface MemoryResult {
  connections: number
  /** JavaScript heap and array buffers, bytes a connection, without its sockets and the application's objects. */
  bytesPerConnection: number
  /** The same right after the handshake, before any data. */
  bytesAfterHandshake: number
}

/** Cost of arming a timer and cancelling it while others are armed. */
export interface TimerResult {
  armed: number
  nsPerArmAndCancel: Spread
}

export interface ScaleResult {
  memory: MemoryResult
  timers: TimerResult[]
}

const gc = ((): (() => void) => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
})()

function memoryInUse(): number {
  for (let i = 0; i < 3; i++) gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** One stack with a listener, and a script that plays its clients. */
class Rig {
  readonly nic = new ScriptedNic()
  readonly stack: Stack
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
    this.stack.poll()
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

function memory(connections: number): MemoryResult {
  const rig = new Rig(connections)
  // The first ones make what all share.
  for (let i = 0; i < 100; i++) rig.open(i)
  // Numbers of fixed size, so that the script's own state is known and small.
  const ports = new Int32Array(connections)
  const before = memoryInUse()
  const flows: { flow: Flow; tcb: Tcb }[] = []
  for (let i = 0; i < connections - 100; i++) flows.push(rig.open(100 + i))
  const script = flows.map(({ flow }) => ({ ...flow }))
  const scriptBytes = ((): number => {
    const full = memoryInUse()
    script.length = 0
    return full - memoryInUse()
  })()
  const listBytes = flows.length * (8 + 32)
  const opened = memoryInUse() - before - scriptBytes - listBytes
  const response = new Uint8Array(REQUEST_BYTES)
  for (const entry of flows) rig.exchange(entry, response)
  for (let i = 0; i < 10; i++) rig.pass(100_000)
  rig.nic.sent.length = 0
  rig.stack.tcp.ready.length = 0
  const used = memoryInUse() - before - scriptBytes - listBytes
  if (rig.stack.tcp.connections !== connections || ports.length !== connections) {
    throw new Error(`${rig.stack.tcp.connections} connections of ${connections} live`)
  }
  return {
    connections,
    bytesAfterHandshake: Math.round(opened / flows.length),
    bytesPerConnection: Math.round(used / flows.length),
  }
}

class IdleTimer extends Timer {
  override fire(): void {}
}

function timers(armed: number, rounds: number): TimerResult {
  const wheel = new TimerWheel(0)
  let state = 12_345
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state
  }
  for (let i = 0; i < armed; i++) wheel.arm(new IdleTimer(), 1_000_000 + (random() % 7_200_000_000))
  const mine = Array.from({ length: 256 }, () => new IdleTimer())
  const deadlines = Float64Array.from({ length: 4096 }, () => 1000 + (random() % 200_000_000))
  const values: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const start = process.hrtime.bigint()
    const count = 200_000
    for (let i = 0; i < count; i++) {
      const timer = mine[i & 255]!
      wheel.arm(timer, deadlines[i & 4095]!)
      wheel.cancel(timer)
    }
    if (round > 0) values.push(Number(process.hrtime.bigint() - start) / count)
  }
  return { armed, nsPerArmAndCancel: spread(values) }
}

/** `npm run bench -- scale [--connections N] [--runs N] [--json]` */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '100000' },
      runs: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
    },
  })
  const connections = Number(values.connections)
  const result: ScaleResult = {
    memory: memory(connections),
    timers: [1, 1000, 100_000, 1_000_000].map((armed) => timers(armed, Number(values.runs))),
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return
  }
  const { memory: used } = result
  process.stdout.write(
    `${connections} idle connections: ${used.bytesPerConnection} B each after a request and a response, ${used.bytesAfterHandshake} B after the handshake\n`,
  )
  process.stdout.write('\ntimers armed  arm and cancel, ns: min  median  max\n')
  for (const { armed, nsPerArmAndCancel: ns } of result.timers) {
    const numbers = [ns.min, ns.median, ns.max].map((value) => value.toFixed(1).padStart(7)).join(' ')
    process.stdout.write(`${String(armed).padStart(12)} ${' '.repeat(20)}${numbers}\n`)
  }
  process.stdout.write(`\n${JSON.stringify(result)}\n`)
}
