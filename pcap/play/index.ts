export { PcapNic } from './nic.ts'
export type { NotPlayed } from './player.ts'
