/** What the demo and its two child processes tell each other over Node's IPC. */
import type { Census } from '../api.ts'
import type { CaptureRequest } from '../capture.ts'
import type { WorkerReport } from '../run/totals.ts'

/** Verified: SHA-256 over every byte at both ends. Measured: bytes counted, contents sampled. */
export type PassKind = 'verified' | 'measured'

/** What receives: zcrx over a device, zcrx over the memory link (with the sender inside), or `node:net` on Linux's TCP. */
export type ReceiverKind = 'zcrx' | 'memory' | 'node'

export interface OpenRequest {
  readonly type: 'open'
  readonly kind: ReceiverKind
  /** A device string (`zcrx`), else unused. */
  readonly device: string
  /** The address is the stack's alone. */
  readonly ownAddress: boolean
  /** Address to listen on. */
  readonly address: string
  /** Interface whose drops are counted (`node`); empty: none. */
  readonly interface: string
  readonly mtu: number
  /** Threads of zcrx; absent: none. */
  readonly workers?: number
  /** Of zcrx's queue; absent: none. */
  readonly capture?: CaptureRequest
}

export interface ReadyReply {
  readonly type: 'ready'
  readonly driver: string
  readonly mode: string
  readonly mtu: number
  readonly port: number
}

export interface PassRequest {
  readonly type: 'pass'
  readonly pass: PassKind
  readonly flowBytes: readonly number[]
  /** Milliseconds between progress messages. */
  readonly progressEvery: number
}

/** The receiver waits for the flows of a pass. */
export interface ArmedReply {
  readonly type: 'armed'
}

export interface Progress {
  readonly type: 'progress'
  readonly bytes: number
  readonly frames: number
  readonly completions: number
  readonly niovs: Census
  /** Since the first byte. */
  readonly seconds: number
}

/** One flow at one end; the sender's port tells which is which. */
export interface FlowResult {
  readonly port: number
  readonly bytes: number
  readonly sha256?: string
  /** Receiver: 0, or why the flow broke. */
  readonly errno?: number
}

/** A pass as the receiver saw it. */
export interface PassResult {
  readonly type: 'result'
  readonly flows: readonly FlowResult[]
  readonly bytes: number
  /** First byte to the end of the last stream. */
  readonly seconds: number
  /** Of the receiving process, in the same time. */
  readonly cpuSeconds: number
  readonly samplesChecked: number
  readonly samplesWrong: number
  readonly zeroCopiedBytes: number
  readonly copiedBytes: number
  readonly completions: number
  readonly frames: number
  readonly drops: Record<string, number>
  /** At the end of the pass, all streams ended. */
  readonly niovs: Census
  /** Of each worker, when there are any: of the pass, and where the buffers are at its end. */
  readonly workers?: readonly WorkerReport[]
  /** When receiver and sender share the process: the sender's end. */
  readonly sent?: SentReply
}

export interface FailureReply {
  readonly type: 'failure'
  readonly code: string
  readonly message: string
  readonly remedy: string
  readonly stack: string
}

export interface ConnectRequest {
  readonly type: 'connect'
  readonly pass: PassKind
  readonly address: string
  readonly port: number
  readonly flowBytes: readonly number[]
  /** Count the retransmissions of the whole network namespace, it being the sender's alone. */
  readonly countRetransmits: boolean
}

/** All flows are connected, nothing is sent yet. */
export interface ConnectedReply {
  readonly type: 'connected'
}

export interface GoRequest {
  readonly type: 'go'
}

/** A pass as the sender saw it; all flows are closed at both ends. */
export interface SentReply {
  readonly type: 'sent'
  readonly flows: readonly FlowResult[]
  /** Segments sent again; absent when not counted. */
  readonly retransmittedSegments?: number
  /** Absent: has to be looked at from outside. */
  readonly congestionControl?: string
}

export type ReceiverRequest = OpenRequest | PassRequest | { readonly type: 'close' }
export type ReceiverReply = ReadyReply | ArmedReply | Progress | PassResult | FailureReply
export type SenderRequest = ConnectRequest | GoRequest
export type SenderReply = ConnectedReply | SentReply | FailureReply

export const NO_NIOVS: Census = { total: 0, free: 0, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }
