export { ArgumentError, NicError, type NicErrorCode, ZcrxError } from './errors.ts'
export * from './memory/index.ts'
export * from './nic.ts'
export { XdpNic, type XdpNicOptions } from './xdp/index.ts'
