import { errnoName } from '../uapi/abi/errno.ts'
import type { Flags, TcpOption } from './script/ast.ts'
import type { Segment } from './wire/tcp.ts'

const ECN_NAMES = ['noecn', 'ect1', 'ect0', 'ce']

/** Flags in script letters; `-` when there is none. */
export function formatFlags(flags: Flags): string {
  const text =
    (flags.syn ? 'S' : '') +
    (flags.fin ? 'F' : '') +
    (flags.rst ? 'R' : '') +
    (flags.psh ? 'P' : '') +
    (flags.urg ? 'U' : '') +
    (flags.ece ? 'E' : '') +
    (flags.cwr ? 'W' : '') +
    (flags.ae ? 'A' : '') +
    (flags.ack ? '.' : '')
  return text === '' ? '-' : text
}

export function formatOption(option: TcpOption): string {
  switch (option.kind) {
    case 'mss':
    case 'wscale':
      return `${option.kind} ${option.value}`
    case 'sack':
      return `sack ${option.blocks.map(([left, right]) => `${left}:${right}`).join(' ')}`
    case 'TS':
      return `TS val ${option.value ?? '...'} ecr ${option.echo ?? '...'}`
    case 'FO':
    case 'FOEXP':
    case 'md5':
      return `${option.kind}${option.bytes.length === 0 ? '' : ` ${hex(option.bytes)}`}`
    case 'cookie':
      return 'FO TFO_COOKIE'
    case 'unknown':
      return `kind ${option.number}${option.bytes.length === 0 ? '' : ` ${hex(option.bytes)}`}`
    default:
      return option.kind
  }
}

function hex(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A segment in the script's syntax; its numbers are printed as they are given. `tos` null: not shown. */
export function formatSegment(segment: Segment, tos: number): string {
  const ecn = (tos & 3) === 0 ? '' : `[${ECN_NAMES[tos & 3]}] `
  const end = (segment.seq + segment.payload.length) >>> 0
  const parts = [`> ${ecn}${formatFlags(segment.flags)} ${segment.seq}:${end}(${segment.payload.length})`]
  if (segment.flags.ack) parts.push(`ack ${segment.ack}`)
  parts.push(`win ${segment.window}`)
  if (segment.flags.urg) parts.push(`urg ${segment.urgent}`)
  if (segment.options.length > 0) parts.push(`<${segment.options.map(formatOption).join(',')}>`)
  return parts.join(' ')
}

export function formatResult(res: number): string {
  return res < 0 ? `-1 ${errnoName(res)}` : `${res}`
}

/** Microseconds as seconds. */
export function formatTime(us: number): string {
  return (us / 1_000_000).toFixed(6)
}
