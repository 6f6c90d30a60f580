import { get16, get32 } from '../bytes.ts'

/** Names of options that have no value worth printing (IANA tcp-parameters). */
const NAMES = new Map([
  [19, 'md5'],
  [28, 'user-timeout'],
  [29, 'ao'],
  [30, 'mptcp'],
  [34, 'fastopen'],
  [69, 'eno'],
  [172, 'accecn0'],
  [174, 'accecn1'],
])

/**
 * TCP options (RFC 9293 3.1) in `bytes[at, end)`, as tcpdump names them, separated by commas. Ends with `bad length` where
 * one can't be. @param base what SACK edges are relative to
 */
export function optionsText(bytes: Uint8Array, at: number, end: number, base = 0): string {
  const texts: string[] = []
  while (at < end) {
    const kind = bytes[at]!
    if (kind === 0) {
      texts.push('eol')
      break
    }
    if (kind === 1) {
      texts.push('nop')
      at++
      continue
    }
    const length = at + 1 < end ? bytes[at + 1]! : 0
    if (length < 2 || at + length > end) {
      texts.push(`option ${kind} bad length`)
      break
    }
    texts.push(optionText(bytes, at, kind, length, base))
    at += length
  }
  return texts.join(',')
}

function optionText(bytes: Uint8Array, at: number, kind: number, length: number, base: number): string {
  if (kind === 2 && length === 4) return `mss ${get16(bytes, at + 2)}`
  if (kind === 3 && length === 3) return `wscale ${bytes[at + 2]}`
  if (kind === 4 && length === 2) return 'sackOK'
  if (kind === 5 && length % 8 === 2 && length > 2) {
    const edges = Array.from(
      { length: (length - 2) / 4 },
      (_, i) => (get32(bytes, at + 2 + i * 4) - base) >>> 0,
    )
    const blocks = Array.from({ length: edges.length / 2 }, (_, i) => `{${edges[2 * i]}:${edges[2 * i + 1]}}`)
    return `sack ${blocks.join('')}`
  }
  if (kind === 8 && length === 10)
    return `TS val ${get32(bytes, at + 2) >>> 0} ecr ${get32(bytes, at + 6) >>> 0}`
  return `${NAMES.get(kind) ?? `option ${kind}`} ${length} bytes`
}
