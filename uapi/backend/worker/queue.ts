import { MessageChannel, type TransferListItem } from 'node:worker_threads'
import { IpAddress } from '../../../address.ts'
import type { Nic, NicInfo } from '../../../driver/nic.ts'
import { NicError, type ZcrxError } from '../../../errors.ts'
import type { AddressesChange, StackReport } from '../../../host/interface.ts'
import { ENODEV } from '../../abi/errno.ts'
import type { RingHost } from '../../ring/backend.ts'
import { WorkerBackend } from './backend.ts'
import * as doors from './door.ts'
import type { FromQueue, QueueLink, QueueState, RingLink, ToQueue } from './messages.ts'
import { toldError } from './told-error.ts'
import { blocking, type Waiting } from './waiting.ts'

/** What a user on another thread sees of a NIC. */
export type NicView = Pick<Nic, 'info' | 'notes'>

/** Both ends of a link to a queue's worker, or to one ring there. */
export function ringChannels(): { ours: RingLink; theirs: RingLink; transfer: TransferListItem[] } {
  const calls = new MessageChannel()
  const events = new MessageChannel()
  const door = doors.openDoor()
  return {
    ours: { door, calls: calls.port1, events: events.port1 },
    theirs: { door, calls: calls.port2, events: events.port2 },
    transfer: [calls.port2, events.port2],
  }
}

/** Nobody serves a queue's rings any more. @param index of the worker */
export function workerGone(index: number, why: string): NicError {
  return new NicError(
    'ZCRX_WORKER_GONE',
    `worker ${index} is gone: ${why}`,
    'its connections have ended; start anew to have its queue served again',
    ENODEV,
  )
}

/** A queue that a worker serves, as a thread sees it that uses it: its addresses, and the other sides of rings. */
export class WorkerQueue implements RingHost {
  /** Of the workers of its host. */
  readonly index: number
  readonly ready: Promise<void>
  /** Called once when the device, or the worker, went away: connections have ended with ENODEV. */
  onGone: (error: NicError) => void = () => {}
  onAddresses: (change: AddressesChange) => void = () => {}
  /** Called when the link is closed from the other side. Who hears of the thread's end otherwise, and why, waits for that. */
  onClosed: () => void = () => this.lost(workerGone(this.index, 'its thread has ended'))
  readonly #link: QueueLink
  readonly #about: WorkerBackend
  readonly #waiting: Waiting
  readonly #backends = new Set<WorkerBackend>()
  #state: QueueState
  #gone: NicError | null = null
  #closed = false
  #resolve!: () => void
  #reject!: (error: ZcrxError) => void
  #lastReport: StackReport = { frames: 0, copiedBytes: 0, drops: {}, tcp: {}, unsettled: 0 }

  constructor(index: number, link: QueueLink, state: QueueState, waiting: Waiting = blocking) {
    this.index = index
    this.#link = link
    this.#state = state
    this.#waiting = waiting
    this.#about = new WorkerBackend(link.about, { tailBytes: 0, waiting })
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.ready.catch(() => {})
    link.control.on('message', (message: FromQueue) => this.#hear(message))
    link.control.on('close', () => this.onClosed())
    link.control.unref()
  }

  get nic(): NicView {
    const { info, nicNotes } = this.#state
    return { info, notes: nicNotes }
  }
  get info(): NicInfo {
    return this.#state.info
  }
  get address(): IpAddress {
    return IpAddress.parse(this.#state.address)!
  }
  get addresses(): readonly IpAddress[] {
    return this.#state.addresses.map((text) => IpAddress.parse(text)!)
  }
  get listenAddress(): IpAddress {
    return IpAddress.parse(this.#state.listenAddress)!
  }
  get pending(): boolean {
    return this.#state.pending
  }
  get notes(): readonly string[] {
    return this.#state.notes
  }
  /** Why nobody serves it any more; null while somebody does. */
  get gone(): NicError | null {
    return this.#gone
  }

  ringBackend(): WorkerBackend {
    // Who has blocked has not heard of it yet.
    if (Atomics.load(this.#link.about.door, doors.GONE) !== 0)
      this.lost(workerGone(this.index, 'its thread has ended'))
    const { ours, theirs, transfer } = ringChannels()
    const backend = new WorkerBackend(ours, { tailBytes: this.info.tailBytes, waiting: this.#waiting })
    if (this.#gone === null) {
      this.#link.control.postMessage({ type: 'ring', link: theirs } satisfies ToQueue, transfer)
      this.#backends.add(backend)
    } else backend.gone(this.#gone)
    return backend
  }

  /** Figures of a worker that is gone are the latest that were told. */
  report(): StackReport {
    const report = this.#about.report()
    if (report !== null) this.#lastReport = report
    return this.#lastReport
  }

  /** See `WorkerBackend.hand` and `take`: another ring, of whichever thread, gets at what a descriptor names. */
  get about(): WorkerBackend {
    return this.#about
  }

  /** Gives back what this thread has there: rings, descriptors. Close the rings first. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#about.close()
    this.#link.control.close()
  }

  /** Ends the worker, as its owner: the device is given back when this returns. */
  stop(): void {
    if (this.#closed) return
    if (this.#gone === null) this.#about.stop()
    this.close()
  }

  /** Nobody serves the queue any more. Idempotent. */
  lost(error: NicError): void {
    if (this.#gone !== null || this.#closed) return
    this.#gone = error
    for (const backend of [this.#about, ...this.#backends]) backend.gone(error)
    this.#reject(error)
    this.onGone(error)
  }

  #hear(message: FromQueue): void {
    if (message.type === 'state') this.#state = message.state
    else if (message.type === 'ready') {
      if (message.error === null) this.#resolve()
      else this.#reject(toldError(message.error))
    } else if (message.type === 'addresses') {
      this.#state = message.state
      this.onAddresses({ addresses: this.addresses, failures: message.failures.map(toldError) })
    } else if (message.type === 'fault') this.lost(workerGone(this.index, message.error.message))
    else {
      // The device went away: the kernel there has ended its connections, and goes on answering.
      const error = toldError(message.error)
      if (error instanceof NicError) this.onGone(error)
    }
  }
}
