import { isLinuxDevice, parseLinuxDevice } from '../../host/devices/index.ts'
import { Host, type HostOptions } from './host.ts'
import { LinuxSystem } from './linux/system.ts'

/**
 * What rings are made on, by a device's name: `linux:eth0/5` is the machine's own stack and its rings, anything else a stack of this
 * package's on that device. A program on rings that takes it runs on both.
 * @throws NicError, ArgumentError with what to do about it
 */
export function openRingHost(options: HostOptions): Host | LinuxSystem {
  const { device } = options
  if (typeof device !== 'string' || !isLinuxDevice(device)) return Host.open(options)
  return new LinuxSystem(parseLinuxDevice(device))
}
