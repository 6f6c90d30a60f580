export type { BusyPolling } from './busy-poll.ts'
export type { XdpHookHandle, XdpMode } from './hook.ts'
export { XdpNic, type XdpNicOptions } from './nic.ts'
export type { RingSizes } from './socket.ts'
