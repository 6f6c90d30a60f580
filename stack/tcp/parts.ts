import type { AckScheduler } from './acks.ts'
import type { TcpOutput } from './output.ts'
import type { PayloadTaker } from './payload.ts'
import type { Recovery } from './recovery.ts'
import type { TcbTimers } from './tcb-timers.ts'
import type { TimeWait } from './time-wait.ts'
import type { Transmitter } from './transmitter.ts'
import type { WindowKeeper } from './window.ts'

/** The parts of the module that segments and timers set in motion. Who uses one takes it from here when made. */
export interface TcpParts {
  readonly window: WindowKeeper
  readonly output: TcpOutput
  readonly payload: PayloadTaker
  readonly recovery: Recovery
  readonly transmitter: Transmitter
  readonly timers: TcbTimers
  readonly acks: AckScheduler
  readonly timeWait: TimeWait
}
