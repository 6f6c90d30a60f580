export { type NotPlayed, PcapNic } from './nic.ts'
