/** What the user of a ring and the thread that serves it tell each other beside the ring's words: never per packet. */
import type { MessagePort, ResourceLimits } from 'node:worker_threads'
import type { Census, HeldReport, IfqStats } from '../../../diagnostics.ts'
import type { NicInfo } from '../../../driver/nic.ts'
import type { QueueRequest, QueueShare } from '../../../host/devices/index.ts'
import type { StackReport } from '../../../host/interface.ts'
import type { HostOptions } from '../../../host/options.ts'
import type { Piece } from './piece.ts'
import type { SiblingsData } from './siblings.ts'

/** Memory has no address in the user's space any more. */
export interface UnmapMessage {
  readonly type: 'unmap'
  readonly base: number
}

/** `seq` is the number that `REPLY` gets with the answer. */
export type Question = { readonly seq: number } & (
  | { readonly type: 'open'; readonly entries: number; readonly params: Uint8Array }
  | { readonly type: 'register'; readonly opcode: number; readonly address: number; readonly nrArgs: number }
  | { readonly type: 'mmap'; readonly offset: number; readonly length: number }
  | {
      /** Memory has got an address in the user's space: answered before anything names it. 0, or -EINVAL where it can't lie there. */
      readonly type: 'map'
      readonly base: number
      readonly buffer: SharedArrayBuffer
      /** It consists of huge pages, or counts as if it did. */
      readonly huge: boolean
    }
  | { readonly type: 'fd' }
  | { readonly type: 'census'; readonly zcrxId: number }
  | { readonly type: 'stats'; readonly zcrxId: number }
  | { readonly type: 'watch'; readonly zcrxId: number; readonly afterMs: number; readonly on: boolean }
  | { readonly type: 'refusal' }
  | { readonly type: 'hand'; readonly fd: number }
  | { readonly type: 'take'; readonly token: number }
  | { readonly type: 'close' }
  | { readonly type: 'report' }
  | { readonly type: 'stop' }
)

/** An error on its way to another thread. */
export interface ToldError {
  readonly kind: 'nic' | 'argument' | 'other'
  readonly code: string
  readonly message: string
  readonly remedy: string
  readonly errno: number
}

/** Each type with what answers it; `result` is what the call returns, minus errno where it failed. */
export type Answer = { readonly type: 'answer'; readonly seq: number; readonly result: number } & {
  /** Of `open`: `struct io_uring_params` as it was written back, heads, tails and completions, and entries. */
  readonly params?: Uint8Array
  readonly rings?: Piece
  readonly sqes?: Piece
  /** Of `mmap`. */
  readonly piece?: Piece
  readonly census?: Census
  readonly stats?: IfqStats
  readonly refusal?: ToldError | null
  readonly report?: StackReport
  /** The question could not be answered. */
  readonly error?: ToldError
}

/** From the user. */
export type FromUser = Question | UnmapMessage
/** To the user: answers, and the memory of the ledger whenever there is more of it. */
export type ToUser = Answer | { readonly type: 'ledger'; readonly memory: SharedArrayBuffer }
/** To the user, whenever it happens. */
export type Event =
  | { readonly type: 'held'; readonly zcrxId: number; readonly report: HeldReport }
  | { readonly type: 'gone'; readonly error: ToldError }

/** What a ring's other side is made with. */
export interface RingLink {
  readonly door: Int32Array
  /** Questions and answers, read when it is their turn. */
  readonly calls: MessagePort
  /** Events, from the event loop. */
  readonly events: MessagePort
}

/** What a thread is told of a queue and its addresses; addresses as text. */
export interface QueueState {
  readonly info: NicInfo
  readonly nicNotes: readonly string[]
  readonly notes: readonly string[]
  readonly address: string
  readonly addresses: readonly string[]
  readonly listenAddress: string
  /** Addresses are still tested or waited for. */
  readonly pending: boolean
}

/** How a thread reaches a queue. What it has there (rings, descriptors) ends when `control` is closed. */
export interface QueueLink {
  readonly control: MessagePort
  /** Of questions about the queue itself; there is no ring behind it. */
  readonly about: RingLink
}

/**
 * A NIC that a module of yours opens on the worker's thread: `export function openNic(data, index, share)` returns it, or a promise of
 * it, or `{ nic, share }`: what the first worker's gives as its share the others' get (`openQueue`).
 */
export interface NicModule {
  /** URL or absolute path. */
  readonly module: string
  /** Handed to it; anything that can be cloned. */
  readonly data?: unknown
  /** How many queues there are: what workers `'queues'` takes; default 1. */
  readonly count?: number
}

/** `HostOptions` that can go to another thread. */
export type CloneableOptions = Omit<HostOptions, 'device' | 'clock' | 'sibling'>

/** What a worker is started with. */
export interface ThreadData {
  readonly options: CloneableOptions
  readonly device: QueueRequest | NicModule
  /** What the first queue's NIC has brought for the others. */
  readonly share?: QueueShare
  /** Of several queues of one interface. */
  readonly siblings?: SiblingsData
  /** Which of the workers it is, and how many there are. */
  readonly index: number
  readonly count: number
  readonly areaBytes?: number
  readonly spinUs?: number
  readonly resourceLimits?: ResourceLimits
}

/** To the worker, from the thread that started it. */
export type ToWorker = { readonly type: 'attach'; readonly link: QueueLink; readonly owner: boolean }
/** From the worker to that thread. */
export type FromWorker =
  | { readonly type: 'opened'; readonly state: QueueState; readonly share: QueueShare | null }
  | { readonly type: 'failed'; readonly error: ToldError }
  /** Of a ring of whichever thread: so that it can be closed when the worker is no more. */
  | { readonly type: 'door'; readonly door: Int32Array }
  | { readonly type: 'fault'; readonly error: ToldError }

/** Over `control`, to the worker. */
export type ToQueue = { readonly type: 'ring'; readonly link: RingLink }
/** Over `control`, from the worker. */
export type FromQueue =
  | { readonly type: 'state'; readonly state: QueueState }
  /** The addresses were followed. */
  | { readonly type: 'addresses'; readonly state: QueueState; readonly failures: readonly ToldError[] }
  | { readonly type: 'ready'; readonly error: ToldError | null }
  | { readonly type: 'gone'; readonly error: ToldError }
  /** The worker ends because of it. */
  | { readonly type: 'fault'; readonly error: ToldError }
