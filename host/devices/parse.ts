import { DeviceError } from '../../errors.ts'
import { DEVICES, type DeviceSpec, kindOf } from './table.ts'
import { DeviceText } from './text.ts'

/** Reads a device string. @throws DeviceError that shows where it is wrong */
export function parseDevice(text: string): DeviceSpec {
  const colon = text.indexOf(':')
  const scheme = text.slice(0, Math.max(0, colon))
  const kind = colon < 0 ? undefined : kindOf(scheme)
  if (kind === undefined) {
    const what = colon < 0 ? 'a driver and a colon come first' : `there is no driver "${scheme}"`
    const all = DEVICES.map((each) => each.scheme).join(', ')
    throw new DeviceError(text, 0, what, `take one of ${all}, as in xdp:eth0`)
  }
  return kind.parse(new DeviceText(text, kind))
}
