/** An application on a thread of its own that does, once it has a ring with all that can be registered there, whatever it likes. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { IpAddress } from '../../address.ts'
import { seededRandom } from '../../driver/memory/index.ts'
import type { HostTicket } from '../../net/host.ts'
import * as abi from '../../uapi/abi/index.ts'
import { WorkerBackend } from '../../uapi/backend/worker/backend.ts'
import * as doors from '../../uapi/backend/worker/door.ts'
import { ringChannels } from '../../uapi/backend/worker/queue.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { Mischief } from '../support/mischief.ts'

export interface HostileTask {
  readonly ticket: HostTicket['value']
  readonly port: number
  readonly seed: number
  readonly ms: number
  readonly attends: boolean
}

const FLAGS = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER

function fail(what: string, result: number): never {
  throw new Error(`${what}: ${abi.errnoName(result)}`)
}

/** A ring with an instance, a group of buffers and a listening socket, and all of its memory. */
function setUp(control: MessagePort, { port, attends }: HostileTask) {
  const { ours, theirs, transfer } = ringChannels()
  control.postMessage({ type: 'ring', link: theirs }, transfer)
  const backend = new WorkerBackend(ours, { tailBytes: 0 })
  const ring = Ring.queueInit(8, { ringBackend: () => backend }, { flags: FLAGS, cqEntries: 64 })
  const area = ring.allocateArea(64 * 4096)
  const ifq = ring.registerIfq({
    ifIdx: 0,
    ifRxq: 0,
    rqEntries: 64,
    area,
    flags: abi.ZCRX_REG_NODEV,
    region: 'ring',
  })
  if (typeof ifq === 'number') fail('instance', ifq)
  const group = ring.setupBufRing(8, 3, abi.IOU_PBUF_RING_MMAP)
  if (typeof group === 'number') fail('buffers', group)
  const mapped = backend.mmap(abi.IORING_OFF_PBUF_RING + (3 << 16), 4096)
  if (typeof mapped === 'number') fail('mmap', mapped)
  const call = (prepare: (sqe: NonNullable<ReturnType<Ring['getSqe']>>) => unknown): number => {
    prepare(ring.getSqe()!)
    ring.submitAndWait(1)
    const { res } = ring.peekCqe()!
    ring.cqAdvance(1)
    return res
  }
  const fd = call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
  const heap = ring.arena.take(8192)
  const sockaddr = abi.sockaddrOf(IpAddress.any4, port)
  heap.set(sockaddr)
  const bound = call((sqe) => sqe.prepBind(fd, heap.subarray(0, sockaddr.length)))
  if (bound < 0) fail('bind', bound)
  call((sqe) => sqe.prepListen(fd, 16))
  parentPort!.postMessage({ type: 'listening' })
  const connection = call((sqe) => sqe.prepAccept(fd))
  ring.getSqe()!.prepRecvZc(connection, 0).setData(1)
  ring.submit()
  if (attends) ring.attend()
  return { ours, backend, ring, area, region: ifq.rq.region, buffers: mapped, heap }
}

function words({ buffer, byteOffset, length }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, Math.min(length, 4096) >> 2)
}

function run(task: HostileTask): void {
  const { control } = task.ticket.queues[0]!.link
  const { ours, backend, ring, area, region, buffers, heap } = setUp(control, task)
  const { control: heads, cqes, sqes } = ring.memory
  const shared = [heap, area].map(({ buffer }) => buffer as SharedArrayBuffer)
  const addresses = [heap, area].map((bytes) => backend.addressOf(bytes))
  const targets = [
    heads,
    cqes,
    words(sqes),
    words(sqes),
    words(region),
    words(buffers),
    words(area),
    words(heap),
  ]
  const all = { words: targets, door: ours.door, calls: ours.calls, addresses, buffers: shared }
  const mischief = new Mischief(all, seededRandom(task.seed))
  parentPort!.postMessage({ type: 'begun' })
  let steps = 0
  for (const end = performance.now() + task.ms; performance.now() < end; steps++) {
    const kind = mischief.below(64)
    if (kind < 40) for (let i = 0; i < 8; i++) mischief.scribble()
    else if (kind < 56) mischief.knock()
    else if (kind < 63) mischief.say()
    else control.postMessage(mischief.message())
    // Entries that name what there is, now and then.
    if (mischief.below(16) === 0) {
      const sqe = words(sqes)
      const at = 16 * mischief.below(8)
      sqe[at] = mischief.below(60)
      sqe[at + 1] = mischief.below(8)
      sqe[at + 4] = mischief.pick(addresses) + 64 * mischief.below(64)
      sqe[at + 5] = 0
      sqe[at + 6] = mischief.pick([1, 1, 64, 4096, 2 ** 20])
      Atomics.add(heads, ring.memory.sqTailAt, 1)
    }
  }
  parentPort!.postMessage({ type: 'done', steps, ended: Atomics.load(ours.door, doors.GONE) !== 0 })
}

if (parentPort !== null && workerData?.hostile !== undefined) run(workerData.hostile as HostileTask)
