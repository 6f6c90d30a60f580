import type { CaptureRequest } from '../capture.ts'
import type { PassKind, Progress } from './protocol.ts'

/** The ways in that the demo shows. */
export const DEMO_DRIVERS = ['xdp', 'tap', 'packet', 'raw', 'memory'] as const
export type DemoDriver = (typeof DEMO_DRIVERS)[number]

export interface DemoOptions {
  /** Of each pass, all flows together; absent: `DEFAULT_BYTES`. At least one a flow. */
  readonly bytes?: number
  /** Bytes of layer 3. */
  readonly mtu: number
  readonly flows: number
  /** Absent: AF_XDP, or the memory link when that can't be had. */
  readonly driver?: DemoDriver
  /** How the XDP program is attached: `auto`, `native`, `generic`. */
  readonly mode: string
  /** Threads of zcrx, each with a queue; absent: none. */
  readonly workers?: number
  /** Of zcrx's queue, both passes; absent: none. */
  readonly capture?: CaptureRequest
}

/** What a watcher is told while the demo runs. */
export interface DemoEvents {
  /** A line about what is being done. */
  onStep?(text: string): void
  onProgress?(who: string, pass: PassKind, progress: Progress, bytes: number): void
}
