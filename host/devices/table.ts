import { auto } from './auto.ts'
import type { DeviceKind } from './kind.ts'
import { memory } from './memory.ts'
import { packet } from './packet.ts'
import { pcap } from './pcap.ts'
import { raw } from './raw.ts'
import { tap } from './tap.ts'
import { xdp } from './xdp.ts'

/** Every kind of device that a string can name. */
export const DEVICES = [xdp, tap, packet, raw, memory, pcap, auto] as const

type SpecOf<Kind> = Kind extends DeviceKind<infer Spec> ? Spec : never

/** What a device string says. */
export type DeviceSpec = SpecOf<(typeof DEVICES)[number]>
/** What a device string begins with. */
export type DeviceDriver = DeviceSpec['driver']

/** The kind of that name; undefined when there is none. */
export function kindOf(scheme: string): DeviceKind<DeviceSpec> | undefined {
  const kinds: readonly DeviceKind<DeviceSpec>[] = DEVICES
  return kinds.find((kind) => kind.scheme === scheme)
}
