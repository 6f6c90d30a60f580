/**
 * Child process of the demo: an ordinary sender on Linux's TCP, through `node:net`. Told what to do over IPC; ends when
 * the demo does.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { ContentSource } from './content.ts'
import { reply, serve } from './program.ts'
import type { ConnectRequest, FlowResult, SenderReply, SenderRequest } from './protocol.ts'

/** Blocks of 256 KiB that a flow may have handed to the kernel and not yet got back. */
const BLOCKS_IN_FLIGHT = 4

interface Pending {
  readonly request: ConnectRequest
  readonly sockets: readonly Socket[]
}

let pending: Pending | undefined

serve<SenderRequest>(async (message) => {
  if (message.type === 'connect') {
    const sockets = message.flowBytes.map(() =>
      connect({ host: message.address, port: message.port, noDelay: false }),
    )
    await Promise.all(sockets.map(connected))
    pending = { request: message, sockets }
    reply<SenderReply>({ type: 'connected' })
    return
  }
  if (pending === undefined) throw new Error('told to send before it was told to connect')
  const { request, sockets } = pending
  pending = undefined
  const before = request.countRetransmits ? retransmits() : 0
  const flows = await Promise.all(sockets.map((socket, flow) => send(socket, flow, request)))
  reply<SenderReply>({
    type: 'sent',
    flows,
    ...(request.countRetransmits ? { retransmittedSegments: retransmits() - before } : {}),
  })
})

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

/** Sends the whole flow; resolves when both ends have closed. */
function send(socket: Socket, flow: number, request: ConnectRequest): Promise<FlowResult> {
  const bytes = request.flowBytes[flow]!
  const port = socket.localPort!
  const source = new ContentSource(flow, bytes, BLOCKS_IN_FLIGHT)
  const hash = request.pass === 'verified' ? createHash('sha256') : undefined
  return new Promise((resolve, reject) => {
    let inFlight = 0
    let ended = false
    const pump = (): void => {
      while (inFlight < BLOCKS_IN_FLIGHT && !ended) {
        const block = source.take()
        if (block === undefined) {
          ended = true
          socket.end()
          return
        }
        hash?.update(block)
        inFlight += 1
        // Called when the kernel has taken the whole block, which is free then; or at once, when the socket is broken.
        socket.write(block, (error) => {
          inFlight -= 1
          if (error) ended = true
          pump()
        })
      }
    }
    socket.on('error', reject)
    socket.on('close', () =>
      resolve({ port, bytes, ...(hash === undefined ? {} : { sha256: hash.digest('hex') }) }),
    )
    // The peer's FIN is only seen by a socket that is read.
    socket.resume()
    pump()
  })
}

/** `RetransSegs` of this network namespace. */
function retransmits(): number {
  const [names, values] = readFileSync('/proc/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '))
  return Number(values?.[names?.indexOf('RetransSegs') ?? -1] ?? 0)
}
