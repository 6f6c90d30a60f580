export { CaptureNic, type CaptureNicOptions } from './capture-nic.ts'
export { checkCapture } from './files.ts'
