/** Opens and attaches a queue and says how that went. Usage: opener.ts DEVICE */

import { XdpNic } from '../../../driver/xdp/index.ts'
import { NicError } from '../../../errors.ts'
import { memoryFor } from './setup.ts'

try {
  const nic = XdpNic.open({ device: process.argv[2]! })
  nic.attach(memoryFor(nic))
  console.log('attached')
  nic.close()
} catch (error) {
  console.log(error instanceof NicError ? `${error.code}: ${error.message}` : error)
}
