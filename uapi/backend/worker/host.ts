import { randomUUID } from 'node:crypto'
import { MessageChannel, type TransferListItem, Worker } from 'node:worker_threads'
import { NicError } from '../../../errors.ts'
import type { QueueShare } from '../../../host/devices/index.ts'
import { SharedPorts } from '../../../stack/siblings/shared-ports.ts'
import * as doors from './door.ts'
import type { FromWorker, QueueLink, QueueState, ThreadData, ToWorker } from './messages.ts'
import { ringChannels, WorkerQueue, workerGone } from './queue.ts'
import { toldError } from './told-error.ts'

/** How long (milliseconds) a worker that was asked to end may take. */
const END_MS = 5000

/** Where a worker's code is: beside this file where that was compiled, else where it would be. */
const THREAD = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/uapi/backend/worker/thread.js' : './thread.js',
  import.meta.url,
)

/** A way to a queue for one more thread: to be sent there once, its ports transferred. */
export interface QueueTicket {
  readonly index: number
  readonly link: QueueLink
  readonly state: QueueState
}

type Opened = Extract<FromWorker, { type: 'opened' }>

/** A worker's thread, as its owner sees it. */
export class QueueWorker {
  readonly index: number
  /** What the NICs of other queues take part in. */
  readonly share: QueueShare | null
  /** The queue, for the thread that owns the worker. */
  readonly queue: WorkerQueue
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>
  readonly #worker: Worker
  readonly #doors: Set<Int32Array>
  #state: QueueState

  private constructor(data: ThreadData, worker: Worker, { state, share }: Opened) {
    this.index = data.index
    this.share = share
    this.#worker = worker
    this.#doors = new Set()
    this.#state = state
    let why = 'its thread has ended'
    const { link, transfer } = links()
    this.#attach(link.theirs, transfer, true)
    this.queue = new WorkerQueue(data.index, link.ours, state)
    this.queue.onClosed = () => {}
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'door') this.#addDoor(message.door)
      else if (message.type === 'opened') this.#state = message.state
      else why = message.error.message
    })
    worker.on('error', (error) => {
      why = error instanceof Error ? error.message : String(error)
    })
    this.ended = new Promise((resolve) => {
      worker.on('exit', () => {
        // Threads that block can't be told otherwise.
        for (const door of this.#doors) doors.close(door)
        if (data.siblings !== undefined) new SharedPorts(data.siblings.ports, data.index).abandon(data.index)
        this.queue.lost(workerGone(data.index, why))
        resolve()
      })
    })
    worker.unref()
  }

  /** Starts a thread and opens the queue there. @throws NicError, ArgumentError of the opening */
  static async open(data: ThreadData): Promise<QueueWorker> {
    const { resourceLimits } = data
    const worker = new Worker(THREAD, {
      workerData: data,
      name: `zcrx queue ${data.index}`,
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    })
    const opened = await new Promise<Opened>((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'opened') resolve(message)
        else if (message.type !== 'door') reject(toldError(message.error))
      })
      worker.on('error', reject)
      worker.on('exit', () => reject(workerGone(data.index, 'its thread ended before the queue was open')))
    })
    for (const event of ['message', 'error', 'exit'] as const) worker.removeAllListeners(event)
    return new QueueWorker(data, worker, opened)
  }

  /** A way to the queue for one more thread. */
  ticket(): { ticket: QueueTicket; transfer: TransferListItem[] } {
    const { link, transfer } = links()
    this.#attach(link.theirs, transfer, false)
    return {
      ticket: { index: this.index, link: link.ours, state: this.#state },
      transfer: [link.ours.control, link.ours.about.calls, link.ours.about.events],
    }
  }

  /** Those of rings that are closed are left out. */
  #addDoor(door: Int32Array): void {
    for (const other of this.#doors) if (Atomics.load(other, doors.GONE) !== 0) this.#doors.delete(other)
    this.#doors.add(door)
  }

  #attach(link: QueueLink, transfer: TransferListItem[], owner: boolean): void {
    this.#doors.add(link.about.door)
    this.#worker.postMessage({ type: 'attach', link, owner } satisfies ToWorker, transfer)
  }

  /** The queue is given back when this returns; the thread has ended when `ended` resolves. */
  close(): void {
    // Whoever waits for its end is to see it.
    this.#worker.ref()
    this.queue.stop()
    const timer = setTimeout(() => void this.#worker.terminate(), END_MS)
    timer.unref()
    void this.ended.then(() => clearTimeout(timer))
  }

  /** Ends the thread where it is, for tests of what becomes of its connections. */
  terminate(): Promise<void> {
    return this.#worker.terminate().then(() => this.ended)
  }
}

function links(): { link: { ours: QueueLink; theirs: QueueLink }; transfer: TransferListItem[] } {
  const control = new MessageChannel()
  const about = ringChannels()
  return {
    link: {
      ours: { control: control.port1, about: about.ours },
      theirs: { control: control.port2, about: about.theirs },
    },
    transfer: [control.port2, ...about.transfer],
  }
}

/** Opens a worker for each of `each`; those that are open are closed when one can't be. @throws as `QueueWorker.open` */
export async function openWorkers(each: readonly ThreadData[]): Promise<QueueWorker[]> {
  const opened: QueueWorker[] = []
  const siblings =
    each.length > 1 ? { channel: `zcrx-${randomUUID()}`, ports: SharedPorts.memory() } : undefined
  try {
    // One after the other: what the first brings the others take part in.
    for (const data of each) {
      const share = opened[0]?.share ?? null
      const shared = siblings === undefined ? data : { ...data, siblings }
      opened.push(await QueueWorker.open(share === null ? shared : { ...shared, share }))
    }
    return opened
  } catch (error) {
    for (const worker of opened) worker.close()
    throw error instanceof Error ? error : new NicError('ZCRX_NIC_SYSTEM', String(error))
  }
}
