/** A thread that blocks until its ring has a completion, or until nobody serves it any more; and tells what it was left with. */
import { parentPort, workerData } from 'node:worker_threads'
import { attachHost, type HostTicket } from '../../net/host.ts'

import * as abi from '../../uapi/abi/index.ts'
import { Ring } from '../../uapi/ring/ring.ts'

export interface BlockingReport {
  /** What the call answered that blocked. */
  readonly result: number
  /** `userData` and `res` of what was in flight. */
  readonly completions: readonly (readonly [number, number])[]
  /** What calls answer afterwards: a submission, its completion, a register, a ring. */
  readonly later: readonly number[]
  /** What its host tells of the queue. */
  readonly gone: string
}

async function run(ticket: HostTicket['value']): Promise<BlockingReport> {
  const host = attachHost(ticket)
  const ring = Ring.queueInit(8, host.queues[0]!)
  let gone = ''
  host.queues[0]!.onGone = ({ code }) => {
    gone = code
  }
  const time = ring.arena.take(16)
  new DataView(time.buffer, time.byteOffset).setBigInt64(0, 3600n, true)
  for (const data of [1, 2]) ring.getSqe()!.prepTimeout(time).setData(data)
  ring.submit()
  parentPort!.postMessage('blocks')
  ring.getSqe()!.prepTimeout(time).setData(3).setFlags(abi.IOSQE_IO_LINK)
  ring.getSqe()!.prepNop().setData(4)
  const result = ring.submitAndWait(1)
  const taken = (): [number, number][] => {
    const found: [number, number][] = []
    for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.peekCqe()) {
      found.push([Number(cqe.userData), cqe.res])
      ring.cqeSeen(cqe)
    }
    return found
  }
  const completions = taken()
  ring.getSqe()!.prepNop().setData(5)
  const submitted = ring.submitAndWait(1)
  const after = taken()[0]?.[1] ?? 0
  const registered = ring.registerFilesSparse(4)
  const other = Ring.queueInitParams(8, host.queues[0]!)
  // What is told comes by the event loop.
  for (let i = 0; i < 200 && gone === ''; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  ring.queueExit()
  await host.close()
  const later = [submitted, after, registered, typeof other === 'number' ? other : 0]
  return { result, completions: completions.sort(([a], [b]) => a - b), later, gone }
}

if (parentPort !== null && workerData?.blocking !== undefined)
  void run(workerData.blocking).then((report) => parentPort!.postMessage(report))
