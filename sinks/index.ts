/** `zcrx/sinks`: where received bytes go, written from where they lie. */
export { SinkError } from './sink-error.ts'
export type { SinkOptions, SinkSource } from './source.ts'
export { type FileOptions, type FileResult, toFile } from './to-file.ts'
export { type HashResult, toHash } from './to-hash.ts'
export { toWritable, type WritableOptions } from './to-writable.ts'
