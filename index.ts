export { formatEndpoint, formatIpv4, IpAddress, parseIpv4 } from './address.ts'
export type { Census, Diagnostics, HeldReport, Holder, IfqStats } from './diagnostics.ts'
export { allocateArea, asNicMemory } from './driver/area.ts'
export {
  type Impairments,
  MemoryLink,
  type MemoryLinkOptions,
  MemoryNic,
  type SharedEnd,
  SharedLink,
  type SharedLinkOptions,
  SharedNic,
  sharedDevice,
} from './driver/memory/index.ts'
export type { Nic, NicInfo, NicMemory, NicStats } from './driver/nic.ts'
export { PacketNic, type PacketNicOptions } from './driver/packet/index.ts'
export { RawNic, type RawNicOptions } from './driver/raw/index.ts'
export { TapNic, type TapNicOptions } from './driver/tap/index.ts'
export {
  type DirectionStatistics,
  ForwardingNic,
  type FrameImpairments,
  ImpairedNic,
  type ImpairmentCounts,
  type NicImpairments,
  type RateLimit,
  RateLimitNic,
  type RateLimits,
  StatisticsNic,
} from './driver/wrap/index.ts'
export { XdpNic, type XdpNicOptions } from './driver/xdp/index.ts'
export {
  AbortError,
  AddressError,
  ArgumentError,
  ConnectionError,
  type ConnectionErrorPlace,
  DeviceError,
  NicError,
  type NicErrorCode,
  ZcrxError,
} from './errors.ts'
export * from './host/devices/index.ts'
export { type HostAddress, HostNetwork } from './host/network.ts'
export { CHANNELS, type ChannelMessages } from './net/channels.ts'
export type { Chunk, Connection, IterateOptions, SendOptions } from './net/connection.ts'
export type { BufferLimits } from './net/connection-requests.ts'
export type { DialOptions } from './net/dialer.ts'
export {
  attachHost,
  type HostEvents,
  type HostListenOptions,
  type HostTicket,
  type OpenedHost,
  type OpenHostOptions,
} from './net/host.ts'
export type { ListenOptions } from './net/listen.ts'
export { type ConnectOptions, connect, createServer, openHost } from './net/open.ts'
export type {
  AddressesReport,
  BoundAddress,
  ConnectionCensus,
  ConnectionHandler,
  HeldBuffers,
  QueueGone,
  Server,
  ServerEvents,
  ServerOptions,
  ServerStats,
} from './net/server.ts'
export type { NodeStreamOptions, WebStreams, ZcrxDuplex } from './net/stream-types.ts'
export type { UserArea, WasmMemory } from './net/user-area.ts'
export { type Clock, SystemClock, VirtualClock } from './stack/clock.ts'
export { seededEntropy, systemEntropy } from './stack/entropy.ts'
export type { AddressEvent } from './stack/ip/link.ts'
export type { IpConfig } from './stack/ip/options.ts'
export { Stack, type StackOptions } from './stack/stack.ts'
export type { TcpConfig } from './stack/tcp/options.ts'
export * from './uapi/abi/index.ts'
export { type AddressesChange, Host, type HostOptions } from './uapi/backend/host.ts'
export { InlineKernel as Kernel } from './uapi/backend/inline.ts'
export { LinuxHost, type LinuxHostOptions } from './uapi/backend/linux/host.ts'
export { LinuxSystem } from './uapi/backend/linux/system.ts'
export { openRingHost } from './uapi/backend/open.ts'
export type { NicModule } from './uapi/backend/worker/messages.ts'
export type { KernelOptions } from './uapi/kernel/kernel.ts'
export { Arena } from './uapi/ring/arena.ts'
export type { AllocateOptions, RingBackend, RingHost } from './uapi/ring/backend.ts'
export { BufRing } from './uapi/ring/buf-ring.ts'
export { Cqe } from './uapi/ring/cqe.ts'
export type { AreaSource, EventRequest, Ifq, IfqRequest } from './uapi/ring/ifq.ts'
export type { RingMapping } from './uapi/ring/memory.ts'
export { RefillQueue } from './uapi/ring/refill-queue.ts'
export { Ring, type RingParams } from './uapi/ring/ring.ts'
