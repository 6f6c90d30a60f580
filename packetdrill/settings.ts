import { defaultTcpConfig, type TcpConfig } from '../stack/tcp/options.ts'
import { ScriptError, UnsupportedError } from './errors.ts'
import { type Switch, switchesOf } from './lenient.ts'
import type { Script, ScriptOption, ShellBlock } from './script/ast.ts'

/** What a script's options and shell blocks ask for. Times in microseconds. */
export interface Settings {
  readonly families: readonly ('ipv4' | 'ipv6')[]
  /** The script names one family: results need not say which. */
  readonly familyGiven: boolean
  readonly toleranceUs: number
  readonly tolerancePercent: number
  /** 0: timestamps are not checked. */
  readonly tsTickUs: number
  readonly tsEcrScaled: boolean
  readonly mtu: number | null
  readonly strictSegments: boolean
  /** Leniency that the script itself asks for. */
  readonly lenient: readonly Switch[]
  readonly tcp: Partial<TcpConfig>
  /** What was passed over, for people. */
  readonly notes: readonly string[]
}

const DEFAULT_TOLERANCE_US = 4000
const DEFAULT_TOLERANCE_PERCENT = 12.5
/** Understood, and without meaning here: one address a family, one port, no device. */
const WITHOUT_MEANING = new Set([
  'mss',
  'local_ip',
  'remote_ip',
  'netmask_ip',
  'gateway_ip',
  'bind_port',
  'connect_port',
  'non_fatal',
  'init_scripts',
  'send_omit_free',
  'define',
  'verbose',
  'wire_server_device',
  'dry_run',
  'is_anyip',
  'persistent_tun_dev',
])

/** @throws ScriptError for values that make no sense */
export function settingsOf(script: Script): Settings {
  const notes: string[] = []
  const values = new Map<string, ScriptOption>()
  for (const option of script.options) values.set(option.name, option)
  const known = new Set([
    'ip_version',
    'tolerance_usecs',
    'tolerance_percent',
    'tcp_ts_tick_usecs',
    'tcp_ts_ecr_scaled',
    'mtu',
    'strict_segments',
    'lenient',
  ])
  for (const option of script.options) {
    if (!known.has(option.name) && !WITHOUT_MEANING.has(option.name))
      notes.push(`${option.at.line}: option --${option.name} is not known`)
  }
  const tcp: Partial<Record<string, Setting>> = {}
  const firstLine = script.events[0]?.at.line ?? Number.POSITIVE_INFINITY
  for (const block of script.blocks) if (block.at.line < firstLine) applyShell(block, tcp, notes)
  // Settings made while a script runs can't change a stack that runs: those before anything else are made before.
  for (const { body } of script.events) {
    if (body.kind !== 'shell') break
    applyShell(body, tcp, notes)
  }
  const version = values.get('ip_version')
  return {
    families: version === undefined ? ['ipv4', 'ipv6'] : familiesOf(version),
    familyGiven: version !== undefined,
    toleranceUs: numberOf(values.get('tolerance_usecs'), DEFAULT_TOLERANCE_US),
    tolerancePercent: numberOf(values.get('tolerance_percent'), DEFAULT_TOLERANCE_PERCENT),
    tsTickUs: numberOf(values.get('tcp_ts_tick_usecs'), 0),
    tsEcrScaled: flagOf(values.get('tcp_ts_ecr_scaled')),
    mtu: values.has('mtu') ? numberOf(values.get('mtu'), 0) : null,
    strictSegments: flagOf(values.get('strict_segments')),
    lenient: lenientOf(values.get('lenient')),
    tcp: tcp as Partial<TcpConfig>,
    notes,
  }
}

function familiesOf(option: ScriptOption): ('ipv4' | 'ipv6')[] {
  const families: ('ipv4' | 'ipv6')[] = []
  for (const name of option.value.split(',')) {
    if (name === 'ipv4' || name === 'ipv6') families.push(name)
    else if (name === 'ipv4-mapped-ipv6') {
      if (!option.value.includes('ipv4,'))
        throw new UnsupportedError(option.at, 'ip_version ipv4-mapped-ipv6')
    } else throw new ScriptError(option.at, `ip_version ${name} is neither ipv4 nor ipv6`)
  }
  return [...new Set(families)]
}

function numberOf(option: ScriptOption | undefined, otherwise: number): number {
  if (option === undefined) return otherwise
  const value = Number(option.value)
  if (option.value === '' || !Number.isFinite(value) || value < 0)
    throw new ScriptError(option.at, `--${option.name} needs a number`)
  return value
}

function flagOf(option: ScriptOption | undefined): boolean {
  return option !== undefined && option.value !== '0' && option.value !== 'false'
}

function lenientOf(option: ScriptOption | undefined): readonly Switch[] {
  if (option === undefined) return []
  const switches = switchesOf(option.value)
  if (typeof switches === 'string') throw new ScriptError(option.at, `lenient: ${switches} is not a switch`)
  return switches
}

type Setting = number | boolean | string
type Apply = (value: readonly number[], text: string) => Partial<Record<string, Setting>>

const milliseconds =
  (key: string): Apply =>
  ([value = 0]) => ({ [key]: value * 1000 })
const number =
  (key: string): Apply =>
  ([value = 0]) => ({ [key]: value })
const feature =
  (key: string): Apply =>
  ([value = 0]) => ({ [key]: value !== 0 })

const seconds =
  (key: string): Apply =>
  ([value = 0]) => ({ [key]: value * 1_000_000 })
const choice =
  (key: string, names: readonly string[]): Apply =>
  ([value = 0]) => {
    const name = names[value]
    return name === undefined ? {} : { [key]: name }
  }
/** FreeBSD's newreno is our reno. */
const algorithm: Apply = (_value, text) => {
  if (text === 'cubic') return { congestion: 'cubic' }
  return text === 'reno' || text === 'newreno' ? { congestion: 'reno' } : {}
}

/** Kernel settings by name, and what they are here. What `TcpConfig` does not have is left out. */
const TABLE: Readonly<Record<string, Apply>> = {
  'net.ipv4.tcp_timestamps': feature('timestamps'),
  'net.ipv4.tcp_sack': feature('sack'),
  'net.ipv4.tcp_window_scaling': feature('windowScaling'),
  'net.ipv4.tcp_dsack': feature('dsack'),
  'net.ipv4.tcp_syn_retries': number('synRetries'),
  'net.ipv4.tcp_synack_retries': number('synAckRetries'),
  'net.ipv4.tcp_retries2': number('dataRetries'),
  'net.ipv4.tcp_ecn': choice('ecn', ['off', 'request', 'accept', 'accurate', 'request', 'accept']),
  'net.inet.tcp.ecn.enable': choice('ecn', ['off', 'request', 'accept', 'accurate']),
  'net.ipv4.tcp_recovery': ([value = 1]) => ({ rack: (value & 1) !== 0 }),
  'net.ipv4.tcp_mtu_probing': feature('blackHoleDetection'),
  'net.inet.tcp.pmtud_blackhole_detection': feature('blackHoleDetection'),
  'net.ipv4.tcp_invalid_ratelimit': ([value = 500]) =>
    value === 0 ? { invalidAcksPerSecond: Number.MAX_SAFE_INTEGER } : {},
  'net.ipv4.tcp_keepalive_time': seconds('keepIdleUs'),
  'net.ipv4.tcp_keepalive_intvl': seconds('keepIntervalUs'),
  'net.ipv4.tcp_keepalive_probes': number('keepCount'),
  'net.ipv4.tcp_congestion_control': algorithm,
  'net.inet.tcp.cc.algorithm': algorithm,
  'net.ipv4.tcp_challenge_ack_limit': number('challengeAcksPerSecond'),
  // 2: for every SYN, as if none could be half open.
  'net.ipv4.tcp_syncookies': ([value = 1]) => ({
    synCookies: value !== 0,
    ...(value === 2 ? { maxHalfOpen: 0 } : {}),
  }),
  'net.ipv4.tcp_max_syn_backlog': number('maxHalfOpen'),
  'net.inet.tcp.syncookies': feature('synCookies'),
  'net.ipv4.tcp_fin_timeout': ([value = 60]) => ({ finWait2Us: value * 1_000_000 }),
  'net.ipv4.tcp_rmem': ([, , most]) => (most === undefined ? {} : { maxWindow: most }),
  'net.ipv4.tcp_wmem': ([, , most]) => (most === undefined ? {} : { sendBuffer: most }),
  'net.inet.tcp.rfc1323': ([value = 1]) => ({
    windowScaling: value === 1 || value === 2,
    timestamps: value === 1 || value === 3,
  }),
  'net.inet.tcp.sack.enable': feature('sack'),
  'net.inet.tcp.delacktime': milliseconds('delayedAckUs'),
  'net.inet.tcp.msl': ([value = 30_000]) => ({ timeWaitUs: 2 * value * 1000 }),
  'net.inet.tcp.rexmit_initial': milliseconds('initialRtoUs'),
  'net.inet.tcp.recvspace': number('maxWindow'),
  'net.inet.tcp.sendspace': number('sendBuffer'),
  'net.inet.tcp.keepidle': milliseconds('keepIdleUs'),
  'net.inet.tcp.keepintvl': milliseconds('keepIntervalUs'),
  'net.inet.tcp.keepcnt': number('keepCount'),
  'net.inet.tcp.finwait2_timeout': milliseconds('finWait2Us'),
}

const ASSIGNMENT = /(?:\/proc\/sys\/)?\b((?:net|kern)[./][\w./-]+?)\s*=\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+))/g

/** Finds settings of the kernel in a shell block and translates those that are known. */
function applyShell(block: ShellBlock, tcp: Partial<Record<string, Setting>>, notes: string[]): void {
  for (const found of block.text.matchAll(ASSIGNMENT)) {
    const name = found[1]!.replaceAll('/', '.')
    const text = (found[2] ?? found[3] ?? found[4] ?? '').trim()
    const value = text.split(/\s+/).map(Number)
    const apply = Object.hasOwn(TABLE, name) ? TABLE[name]! : null
    const changes =
      apply === null || (apply !== algorithm && value.some(Number.isNaN)) ? {} : apply(value, text)
    let used = false
    for (const [key, change] of Object.entries(changes)) {
      if (change === undefined || !Object.hasOwn(defaultTcpConfig, key)) continue
      tcp[key] = change
      used = true
    }
    if (!used) notes.push(`${block.at.line}: setting ${name} passed over`)
  }
}
