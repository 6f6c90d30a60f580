import type { Nic } from '../../driver/nic.ts'
import { ArgumentError } from '../../errors.ts'
import type { OpenOptions } from './kind.ts'
import { parseDevice } from './parse.ts'
import { kindOf } from './table.ts'

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
