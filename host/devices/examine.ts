import { nativeOrNull } from '../../driver/native/index.ts'
import { inNamespace } from '../../driver/system.ts'
import { DEFAULT_AREA_BYTES, OWN_AREA_BYTES } from '../../pages.ts'
import {
  type Candidate,
  CHECKED_WAYS,
  type Facts,
  type Finding,
  interfaceNames,
  judge,
  linkFacts,
  type MachineFacts,
  machineFacts,
  type Observation,
  observe,
  obstacleOf,
  type Wanted,
  type Way,
} from '../examine/index.ts'
import type { DeviceKind } from './kind.ts'
import { parseDevice } from './open.ts'
import { type DeviceSpec, kindOf } from './table.ts'
import { workersFinding } from './workers.ts'

export interface ExamineOptions {
  /** Bytes of the area that is to be received into; default 64 MiB. */
  readonly areaBytes?: number
}

/** What opening a device would meet. */
export interface Examination {
  /** The device string; null for the machine alone. */
  readonly device: string | null
  /** It would open; of the machine: some interface would. */
  readonly ok: boolean
  /** The way that would be taken; null when none would, and for the machine alone. */
  readonly chosen: Way | null
  readonly findings: readonly Finding[]
  /** The ways in, best first, with what closes them. */
  readonly ways: readonly Way[]
  /** Of the machine alone: its interfaces, each with its best way. */
  readonly interfaces?: readonly { readonly name: string; readonly chosen: Way | null }[]
}

/**
 * Says whether a device can be opened, which way would be taken, and what is missing for a better one. Opens sockets and
 * loads the XDP program to see whether that is allowed; takes and attaches nothing.
 * @throws DeviceError
 */
export function examineDevice(device: string, options: ExamineOptions = {}): Examination {
  return examineWith(machineFacts(), parseDevice(device), device, options)
}

/** Examines the machine and each of its interfaces. */
export function examineMachine(options: ExamineOptions = {}): Examination {
  const machine = machineFacts()
  const examine = (name: string): Examination =>
    examineWith(machine, { driver: 'auto', name, queue: 0 }, `auto:${name}`, options)
  const interfaces = interfaceNames().map((name) => ({ name, chosen: examine(name).chosen }))
  const wanted = wantedOf({}, options)
  const names = CHECKED_WAYS
  const candidates = names.map((name): Candidate => {
    const [driver = name, ...mode] = name.split(' ')
    return { name, driver, mode: mode.join(' '), device: '' }
  })
  const { findings } = judge(candidates, observe({ machine, wanted, link: null }, names))
  const ok = interfaces.some(({ chosen }) => chosen !== null)
  return { device: null, ok, chosen: null, findings, ways: [], interfaces }
}

function examineWith(
  machine: MachineFacts,
  spec: DeviceSpec,
  device: string,
  options: ExamineOptions,
): Examination {
  const kind = kindOf(spec.driver)!
  const wanted = wantedOf(kind.wanted?.(spec) ?? {}, options)
  const { link, refusal } = gather(kind, spec, wanted)
  const facts: Facts = { machine, wanted, link }
  const candidates = kind.candidates(spec, facts)
  const names = candidates.map((candidate) => candidate.name)
  const seen = [...observe(facts, names), ...refusal(names), ...(kind.observe?.(spec, facts) ?? [])]
  const { chosen, findings, ways } = judge(candidates, seen)
  const workers = workersFinding(device, spec, chosen, facts)
  if (workers !== null) findings.push(workers)
  return { device, ok: chosen !== null, chosen, findings, ways }
}

function wantedOf(wanted: Partial<Wanted>, { areaBytes = DEFAULT_AREA_BYTES }: ExamineOptions): Wanted {
  return {
    name: '',
    queue: 0,
    queues: 1,
    mode: 'auto',
    copy: 'auto',
    netns: undefined,
    areaBytes: Math.max(areaBytes, OWN_AREA_BYTES),
    ...wanted,
  }
}

/** What is known of the interface, and what is seen when its namespace can't be entered. */
function gather(
  kind: DeviceKind<DeviceSpec>,
  spec: DeviceSpec,
  { name, netns }: Wanted,
): { link: Facts['link']; refusal: (closes: Observation['closes'] & {}) => Observation[] } {
  const native = nativeOrNull()
  if (native === null || kind.wanted === undefined) return { link: null, refusal: () => [] }
  if (name === '' && kind.missing !== undefined)
    return { link: { missing: kind.missing(spec) }, refusal: () => [] }
  let link: Facts['link'] = null
  const obstacle = obstacleOf(() => {
    link = inNamespace(native, netns, () => linkFacts(native, name))
  })
  if (obstacle === null) return { link, refusal: () => [] }
  const found = obstacle.message
  const fix = 'ip netns list'
  return { link: null, refusal: (closes) => [{ check: 'namespace', found, closes, fix }] }
}
