import { parentPort, workerData } from 'node:worker_threads'
import { IpAddress } from '../address.ts'
import { type SharedEnd, SharedNic } from '../driver/memory/index.ts'
import * as abi from '../uapi/abi/index.ts'
import { Host } from '../uapi/backend/host.ts'
import { Ring } from '../uapi/ring/ring.ts'

/** What a peer of the `workers` bench's echo is started with. */
export interface EchoPeerData {
  readonly end: SharedEnd
  readonly address: string
  readonly port: number
  /** Of a message. */
  readonly bytes: number
}

/** How many echoes are waited for, one after the other. */
export interface EchoOrder {
  readonly count: number
}

/**
 * The client of the echo, on a thread of its own: it sends a message, blocks until all of it has come back, and takes the time. Its
 * end is the same whatever answers.
 */
const { end, address, port, bytes } = workerData as EchoPeerData
const host = Host.open({ device: SharedNic.open(end), address: '192.0.2.10', ownAddress: true })
const ring = Ring.queueInit(8, host, {
  flags: abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER,
})
const message = ring.arena.take(bytes)
const reply = ring.arena.take(bytes)

/** One request, to its end. */
function call(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
  prepare(ring.getSqe()!)
  ring.submitAndWait(1)
  const cqe = ring.waitCqe()
  const { res } = cqe
  ring.cqeSeen(cqe)
  if (res < 0) throw new Error(abi.errnoName(res))
  return res
}

const fd = call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
const sockaddr = abi.sockaddrOf(IpAddress.parse(address)!, port)
const to = ring.arena.take(sockaddr.length)
to.set(sockaddr)
call((sqe) => sqe.prepConnect(fd, to))

parentPort!.on('message', ({ count }: EchoOrder) => {
  const times = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    const begun = performance.now()
    call((sqe) => sqe.prepSend(fd, message))
    for (let left = bytes; left > 0; ) left -= call((sqe) => sqe.prepRecv(fd, reply.subarray(0, left)))
    times[i] = (performance.now() - begun) * 1000
  }
  parentPort!.postMessage(times)
})
parentPort!.postMessage('ready')
