/** NICs that wrap another and can be stacked. */

export { type FrameImpairments, ImpairmentCounts } from '../impairments.ts'
export { ForwardingNic } from './forward.ts'
export { ImpairedNic, type NicImpairments } from './impaired-nic.ts'
export { type RateLimit, RateLimitNic, type RateLimits } from './rate-limit-nic.ts'
export { type DirectionStatistics, StatisticsNic } from './statistics-nic.ts'
