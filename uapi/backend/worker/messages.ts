/** What the user of a ring and the thread that serves it tell each other beside the ring's words: never per packet. */
import type { MessagePort } from 'node:worker_threads'
import type { Census, HeldReport, IfqStats } from '../../../diagnostics.ts'

/** A piece of memory that both sides have. */
export interface Piece {
  readonly buffer: SharedArrayBuffer
  readonly offset: number
  readonly bytes: number
}

/** Memory that has got an address in the user's space, before anything names it; and that it has none any more. */
export interface MapMessage {
  readonly type: 'map'
  readonly base: number
  readonly buffer: SharedArrayBuffer
  /** It consists of huge pages, or counts as if it did. */
  readonly huge: boolean
}
export interface UnmapMessage {
  readonly type: 'unmap'
  readonly base: number
}

/** `seq` is the number that `REPLY` gets with the answer. */
export type Question = { readonly seq: number } & (
  | { readonly type: 'open'; readonly entries: number; readonly params: Uint8Array }
  | { readonly type: 'register'; readonly opcode: number; readonly address: number; readonly nrArgs: number }
  | { readonly type: 'mmap'; readonly offset: number; readonly length: number }
  | { readonly type: 'fd' }
  | { readonly type: 'census'; readonly zcrxId: number }
  | { readonly type: 'stats'; readonly zcrxId: number }
  | { readonly type: 'watch'; readonly zcrxId: number; readonly afterMs: number; readonly on: boolean }
  | { readonly type: 'refusal' }
  | { readonly type: 'hand'; readonly fd: number }
  | { readonly type: 'take'; readonly token: number }
  | { readonly type: 'close' }
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
  /** The question could not be answered. */
  readonly error?: ToldError
}

/** From the user. */
export type FromUser = Question | MapMessage | UnmapMessage
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
