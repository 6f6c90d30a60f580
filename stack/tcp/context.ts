import type { Nic, RxBurst } from '../../driver/nic.ts'
import type { Clock } from '../clock.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import type { Link } from '../ip/link.ts'
import type { IpConfig } from '../ip/options.ts'
import type { Fragments } from '../memory/fragments.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { TimerWheel } from '../timers.ts'
import type { TcpConfig } from './options.ts'

/** What the parts of the TCP module share. */
export interface TcpContext {
  readonly nic: Nic
  readonly link: Link
  readonly memory: QueueMemory
  readonly fragments: Fragments
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly counters: Counters
  readonly config: TcpConfig
  readonly ipConfig: IpConfig
  readonly entropy: Entropy
  /** The burst being processed: `Segment.first` and `last` index it. */
  readonly burst: RxBurst
  /** The headers of the frame being processed. */
  readonly header: () => Uint8Array
}
