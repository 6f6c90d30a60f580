export { RawNic, type RawNicOptions } from './nic.ts'
