/**
 * What the daemon uses of the library. Everything in `daemon/` reaches the stack through here and so through the same door
 * as any other program. The narrow types say how little that is, and let tests bring servers of their own.
 */
import type * as library from '../index.ts'

export { applyQueueSetup, type QueueSetup, RawNic, type SetupStep } from '../driver/index.ts'
export {
  ArgumentError,
  type Census,
  createServer,
  type Examination,
  type ExamineOptions,
  examineDevice,
  examineMachine,
  type Finding,
  formatEndpoint,
  ImpairedNic,
  isLinuxDevice,
  MemoryLink,
  type Nic,
  type NicModule,
  type OpenedHost,
  type OpenOptions,
  openDevice,
  openDevices,
  openHost,
  openQueue,
  parseDevice,
  parseLinuxDevice,
  planQueues,
  type QueueRequest,
  type QueueShare,
  RateLimitNic,
  type ServerOptions,
  type ServerStats,
  SharedLink,
  SharedNic,
  sharedDevice,
  type Way,
  ZcrxError,
} from '../index.ts'
export {
  CaptureNic,
  type CaptureNicOptions,
  CaptureReader,
  type CaptureSink,
  checkCapture,
  FileSink,
  type FollowedStream,
  type FollowOptions,
  type FollowSummary,
  follow,
  type PcapError,
  PcapNic,
  type ReplayOptions,
  type ReplaySummary,
  replay,
  type StreamReport,
} from '../replay/index.ts'

export type Connection = Pick<
  library.Connection,
  'id' | 'remoteAddress' | 'remotePort' | 'release' | 'send' | 'close' | 'reset'
>

export type Server = Pick<
  library.Server,
  | 'area'
  | 'nic'
  | 'addresses'
  | 'listening'
  | 'port'
  | 'ports'
  | 'notes'
  | 'stats'
  | 'census'
  | 'onHeld'
  | 'onAddresses'
  | 'onGone'
  | 'onQueueGone'
  | 'queues'
  | 'queueStats'
  | 'queueCensus'
  | 'openConnections'
  | 'close'
>

/** `library.ConnectionHandler`, of any such connection. */
export interface ConnectionHandler {
  onConnection(connection: Connection): void
  onData(connection: Connection, offset: number, length: number): boolean
  onEnd(connection: Connection, errno: number): void
}
