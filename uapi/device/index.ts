export { openDevice, openDevices } from './open.ts'
export { parseDevice } from './parse.ts'
export * from './spec.ts'
