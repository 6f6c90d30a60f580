import { ArgumentError } from '../driver/errors.ts'
import type { Nic } from '../driver/nic.ts'
import { XdpNic } from '../driver/xdp/index.ts'

/** What a device string such as `xdp:eth0/1?mode=native` says. */
export interface DeviceSpec {
  readonly driver: 'xdp'
  readonly name: string
  readonly queue: number
  readonly mode: 'auto' | 'native' | 'generic'
  readonly copy: 'auto' | 'copy' | 'zerocopy'
}

const FORM =
  'write xdp:INTERFACE, xdp:INTERFACE/QUEUE or xdp:INTERFACE?mode=native|generic&copy=copy|zerocopy'

/** Reads a device string. @throws ArgumentError that shows where it is wrong */
export function parseDevice(text: string): DeviceSpec {
  const match = /^([a-z]+):([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(text)
  if (match === null) throw new ArgumentError(`device "${text}" has no driver in front of a colon`, FORM)
  const [, driver, name, queueText, query] = match
  if (driver !== 'xdp') throw new ArgumentError(`device "${text}": no driver "${driver}"`, FORM)
  if (name === undefined || name === '') throw new ArgumentError(`device "${text}" names no interface`, FORM)
  let queue = 0
  if (queueText !== undefined) {
    queue = Number(queueText)
    if (!/^\d+$/.test(queueText)) {
      throw new ArgumentError(`device "${text}": queue "${queueText}" is not a number`, FORM)
    }
  }
  const settings = { mode: 'auto', copy: 'auto' } as { mode: DeviceSpec['mode']; copy: DeviceSpec['copy'] }
  for (const part of (query ?? '').split('&')) {
    if (part === '') continue
    const [key, value] = part.split('=')
    if (key === 'mode' && (value === 'auto' || value === 'native' || value === 'generic'))
      settings.mode = value
    else if (key === 'copy' && (value === 'auto' || value === 'copy' || value === 'zerocopy'))
      settings.copy = value
    else throw new ArgumentError(`device "${text}": "${part}" is not a setting`, FORM)
  }
  return { driver, name, queue, ...settings }
}

/** Opens the NIC that a device string names. @throws ArgumentError, NicError */
export function openDevice(text: string): Nic {
  const { name, queue, mode, copy } = parseDevice(text)
  return XdpNic.open({ device: name, queue, mode, copy })
}
