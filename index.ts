export { ArgumentError, NicError, type NicErrorCode, ZcrxError } from './driver/errors.ts'
export { type Impairments, MemoryLink, type MemoryLinkOptions, MemoryNic } from './driver/memory/index.ts'
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
export { type Clock, SystemClock, VirtualClock } from './stack/clock.ts'
export { seededEntropy, systemEntropy } from './stack/entropy.ts'
export { formatEndpoint, IpAddress } from './stack/ip/address.ts'
export type { AddressEvent } from './stack/ip/link.ts'
export type { IpConfig } from './stack/ip/options.ts'
export type { Census } from './stack/memory/page-pool.ts'
export { Stack, type StackOptions } from './stack/stack.ts'
export type { TcpConfig } from './stack/tcp/options.ts'
export { formatIpv4, parseIpv4 } from './stack/wire/ipv4.ts'
export * from './uapi/abi/index.ts'
export { AddressError } from './uapi/addresses.ts'
export { allocateArea, asNicMemory } from './uapi/area.ts'
export { type Client, connect } from './uapi/client.ts'
export type { Chunk, Connection } from './uapi/connection.ts'
export * from './uapi/device/index.ts'
export { type AddressesChange, Host, type HostOptions } from './uapi/host.ts'
export { type HostAddress, HostNetwork } from './uapi/host-network.ts'
export { Kernel, type KernelOptions } from './uapi/kernel/kernel.ts'
export type { ListenOptions } from './uapi/listen.ts'
export { BufRing } from './uapi/ring/buf-ring.ts'
export { Cqe } from './uapi/ring/cqe.ts'
export type { AreaSource, EventRequest, Ifq, IfqRequest } from './uapi/ring/ifq.ts'
export type { HeldReport, Holder, IfqStats } from './uapi/ring/ifq-info.ts'
export { RefillQueue } from './uapi/ring/refill-queue.ts'
export { Ring, type RingParams } from './uapi/ring/ring.ts'
export {
  type AddressesReport,
  type ConnectionCensus,
  type ConnectionHandler,
  createServer,
  type HeldBuffers,
  type Server,
  type ServerOptions,
  type ServerStats,
} from './uapi/server.ts'
