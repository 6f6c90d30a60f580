/** `zcrx/driver`: network queues and the memory they fill. */
export { ArgumentError, NicError, type NicErrorCode, ZcrxError } from '../errors.ts'
export type { GuardKind } from './guard/index.ts'
export * from './memory/index.ts'
export { loadNative, type Native } from './native/index.ts'
export { allocatePages, type PageOptions, type Pages } from './native/memory.ts'
export * from './nic.ts'
export * from './packet/index.ts'
export * from './raw/index.ts'
export {
  applyQueueSetup,
  type QueueSetup,
  type QueueSetupOptions,
  type QueueSwitches,
  type SetupStep,
  type StepOutcome,
} from './setup/index.ts'
export * from './tap/index.ts'
export * from './wrap/index.ts'
export * from './xdp/index.ts'
