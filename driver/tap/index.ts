export { TapNic, type TapNicOptions } from './nic.ts'
