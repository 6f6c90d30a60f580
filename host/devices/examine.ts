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
import { observeKernel } from '../examine/zcrx-ways.ts'
import type { DeviceKind } from './kind.ts'
import { isLinuxDevice, linuxQueue, parseLinuxDevice } from './linux-queue.ts'
import { parseDevice } from './open.ts'
import { type DeviceSpec, kindOf } from './table.ts'
import { workersFinding } from './workers.ts'

/** What the device is wanted for. */
export interface ExamineOptions {
  /** Bytes of the area that is to be received into; default 64 MiB. */
  readonly areaBytes?: number
  /** TCP ports that are to come to the queue of `linux:`; default none in particular. */
  readonly ports?: readonly number[]
}

/** What opening a device would meet. */
export interface Examination {
  /** The device string; null for the machine alone. */
  readonly device: string | null
  /** It would open; of the machine: some interface would. */
  readonly ok: boolean
  /** The way that would be taken; null when none would, and for the machine alone. */
  readonly chosen: Way | null
  /** What was looked at and found, in the order of the checks. */
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
  const machine = machineFacts()
  if (isLinuxDevice(device))
    return examineWith({ machine, device, options }, linuxQueue, parseLinuxDevice(device)).examination
  const spec = parseDevice(device)
  return examineKnown({ machine, device, options }, spec)
}

/** Examines the machine and each of its interfaces. */
export function examineMachine(options: ExamineOptions = {}): Examination {
  const machine = machineFacts()
  const examine = (name: string): Examination =>
    examineKnown({ machine, device: `auto:${name}`, options }, { driver: 'auto', name, queue: 0 })
  const interfaces = interfaceNames().map((name) => ({ name, chosen: examine(name).chosen }))
  const wanted = wantedOf({}, options)
  const names = CHECKED_WAYS
  const candidates = names.map((name): Candidate => {
    const [driver = name, ...mode] = name.split(' ')
    return { name, driver, mode: mode.join(' '), device: '' }
  })
  const facts: Facts = { machine, wanted, link: null }
  const { findings } = judge(candidates, [...observe(facts, names), ...observeKernel(facts)])
  const ok = interfaces.some(({ chosen }) => chosen !== null)
  return { device: null, ok, chosen: null, findings, ways: [], interfaces }
}

/** What is examined, apart from what its string says. */
interface Subject {
  readonly machine: MachineFacts
  readonly device: string
  readonly options: ExamineOptions
}

type Examined<S extends { readonly driver: string }> = Pick<
  DeviceKind<S>,
  'wanted' | 'missing' | 'candidates' | 'observe'
>

/** A device of the table: what its workers would be is told too. */
function examineKnown(subject: Subject, spec: DeviceSpec): Examination {
  const { examination, facts } = examineWith(subject, kindOf(spec.driver)!, spec)
  const { chosen, findings } = examination
  const workers = workersFinding(subject.device, spec, chosen, facts)
  return workers === null ? examination : { ...examination, findings: [...findings, workers] }
}

function examineWith<S extends { readonly driver: string }>(
  { machine, device, options }: Subject,
  kind: Examined<S>,
  spec: S,
): { examination: Examination; facts: Facts } {
  const wanted = wantedOf(kind.wanted?.(spec) ?? {}, options)
  const { link, refusal } = gather(kind, spec, wanted)
  const facts: Facts = { machine, wanted, link }
  const candidates = kind.candidates(spec, facts)
  const names = candidates.map((candidate) => candidate.name)
  const seen = [...observe(facts, names), ...refusal(names), ...(kind.observe?.(spec, facts) ?? [])]
  const { chosen, findings, ways } = judge(candidates, seen)
  return { examination: { device, ok: chosen !== null, chosen, findings, ways }, facts }
}

function wantedOf(
  wanted: Partial<Wanted>,
  { areaBytes = DEFAULT_AREA_BYTES, ports = [] }: ExamineOptions,
): Wanted {
  return {
    name: '',
    queue: 0,
    queues: 1,
    mode: 'auto',
    copy: 'auto',
    netns: undefined,
    areaBytes: Math.max(areaBytes, OWN_AREA_BYTES),
    ports,
    ...wanted,
  }
}

/** What is known of the interface, and what is seen when its namespace can't be entered. */
function gather<S extends { readonly driver: string }>(
  kind: Examined<S>,
  spec: S,
  { name, netns }: Wanted,
): { link: Facts['link']; refusal: (closes: Observation['closes'] & {}) => Observation[] } {
  const native = nativeOrNull()
  if (native === null || kind.wanted === undefined) return { link: null, refusal: () => [] }
  if (name === '')
    return {
      link: kind.missing === undefined ? null : { missing: kind.missing(spec) },
      refusal: () => [],
    }
  let link: Facts['link'] = null
  const obstacle = obstacleOf(() => {
    link = inNamespace(native, netns, () => linkFacts(native, name))
  })
  if (obstacle === null) return { link, refusal: () => [] }
  const found = obstacle.message
  const fix = 'ip netns list'
  return { link: null, refusal: (closes) => [{ check: 'namespace', found, closes, fix }] }
}
