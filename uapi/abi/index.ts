export * from './constants.ts'
export * from './errno.ts'
export { type Addresser, Sqe } from './sqe.ts'
export * from './structs.ts'
