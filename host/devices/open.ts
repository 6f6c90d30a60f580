import type { Nic } from '../../driver/nic.ts'
import { ArgumentError, DeviceError } from '../../errors.ts'
import type { OpenOptions } from './kind.ts'
import { LINUX_SCHEME } from './linux-queue.ts'
import { DEVICES, type DeviceSpec, kindOf } from './table.ts'
import { DeviceText } from './text.ts'

/** Reads a device string. @throws DeviceError that shows where it is wrong */
export function parseDevice(text: string): DeviceSpec {
  const colon = text.indexOf(':')
  const scheme = text.slice(0, Math.max(0, colon))
  const kind = colon < 0 ? undefined : kindOf(scheme)
  if (scheme === LINUX_SCHEME)
    throw new DeviceError(
      text,
      0,
      'the machine’s own stack has no NIC to open',
      'give it to createServer, connect, openHost or openRingHost',
    )
  if (kind === undefined) {
    const what = colon < 0 ? 'a driver and a colon come first' : `there is no driver "${scheme}"`
    const all = DEVICES.map((each) => each.scheme).join(', ')
    throw new DeviceError(text, 0, what, `take one of ${all}, as in xdp:eth0`)
  }
  return kind.parse(new DeviceText(text, kind))
}

/** How many queues a device string names by their numbers; 0 when it leaves that open. */
export function namedQueues(text: string, spec: DeviceSpec): number {
  const numbered = spec.driver === 'xdp' || spec.driver === 'auto'
  return numbered && /^[^?]*\//.test(text) ? (kindOf(spec.driver)!.queues?.(spec) ?? 1) : 0
}

/** Opens the NIC that a device string names. @throws ArgumentError, NicError */
export function openDevice(text: string, options: OpenOptions = {}): Nic {
  const spec = parseDevice(text)
  const kind = kindOf(spec.driver)!
  const queues = kind.queues?.(spec) ?? 1
  if (queues > 1) throw new ArgumentError(`"${text}" names ${queues} queues`, 'openDevices opens each')
  return kind.open(spec, options)[0]!
}

/** Opens every NIC that a device string names: one, or one for each queue of a range. @throws ArgumentError, NicError */
export function openDevices(text: string, options: OpenOptions = {}): Nic[] {
  const spec = parseDevice(text)
  return kindOf(spec.driver)!.open(spec, options)
}
