import type { Tcb } from '../stack/tcp/tcb.ts'
import { memoryInUse } from './memory-use.ts'
import type { Flow } from './replay.ts'
import { ConnectionsRig, REQUEST_BYTES } from './scale-rig.ts'

/** Memory of connections that have exchanged a request and a response and are idle. */
export interface MemoryResult {
  connections: number
  /** JavaScript heap and array buffers, bytes a connection, without its sockets and the application's objects. */
  bytesPerConnection: number
  /** The same right after the handshake, before any data. */
  bytesAfterHandshake: number
}

/** What idle connections take of one stack, with nothing on top of it. */
export function measureMemory(connections: number): MemoryResult {
  const rig = new ConnectionsRig(connections)
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
