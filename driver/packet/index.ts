export { PacketNic, type PacketNicOptions } from './nic.ts'
export type { FanoutMode, FanoutOptions, PacketRing } from './socket.ts'
