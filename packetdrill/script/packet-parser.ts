import type { Position } from '../errors.ts'
import type { Flags, IcmpPacket, IpInfo, Packet, TcpOption } from './ast.ts'
import type { Scanner } from './scanner.ts'

/** Largest IP payload: what a script may ask to be built. */
const MAX_PAYLOAD = 65_535 - 60
const ECN = new Map([
  ['noecn', 0],
  ['ect1', 1],
  ['ect0', 2],
  ['ce', 3],
])
const QUOTED = /\[\s*(\d+)\s*:\s*\d+\s*\(\s*(\d+)\s*\)\s*\]/y
const OTHER_PROTOCOLS = ['udp', 'udplite', 'sctp', 'gre', 'mpls', 'ipv4', 'ipv6', 'arp', 'psp']

/** A packet, behind its `<` or `>`. */
export function parsePacket(scanner: Scanner, direction: 'in' | 'out', at: Position): Packet | IcmpPacket {
  const ip = parseIpInfo(scanner)
  // What an ICMP error quotes stands in front of it, or behind.
  const quoted = scanner.match(QUOTED)
  if (scanner.takeWord('icmp') || scanner.takeWord('icmpv6')) {
    if (direction === 'out') scanner.unsupported('outbound ICMP', at)
    const packet = parseIcmp(scanner, at)
    if (quoted === null) return packet
    if (packet.quoted !== null) scanner.fail('the quoted segment stands twice', at)
    return { ...packet, quoted: { seq: Number(quoted[1]), length: Number(quoted[2]) } }
  }
  if (quoted !== null) scanner.fail(`expected "icmp", found ${scanner.found()}`)
  for (const protocol of OTHER_PROTOCOLS) {
    if (scanner.takeWord(protocol)) scanner.unsupported(`${protocol} packet`, at)
  }
  const ports = parsePorts(scanner)
  const flags = parseFlags(scanner)
  const { seq, length } = parseSequence(scanner)
  const ack = scanner.takeWord('ack') ? scanner.needInteger('an acknowledgement number') : null
  const window = scanner.takeWord('win') ? parseWindow(scanner) : null
  const urgent = scanner.takeWord('urg') ? scanner.needInteger('an urgent pointer') : null
  const options = scanner.take('<') ? parseOptions(scanner) : []
  if (window !== null && (window < 0 || window > 65_535)) scanner.fail('win is not a 16-bit number', at)
  if (direction === 'in' && (window === null || options === null || seq === null)) {
    if (window === null) scanner.fail('an injected packet needs win', at)
    scanner.fail('an injected packet needs its numbers and options written', at)
  }
  return { kind: 'tcp', direction, ip, ports, flags, seq, length, ack, window, urgent, options }
}

function parseWindow(scanner: Scanner): number | null {
  if (scanner.take('...') || scanner.take('*')) return null
  return scanner.needInteger('a window')
}

function parseIpInfo(scanner: Scanner): IpInfo {
  let ecn: number | null = null
  let tos: number | null = null
  let ttl: number | null = null
  for (;;) {
    const open = scanner.match(/[[(](?=\s*[a-z])/y)?.[0]
    if (open === undefined) return { ecn, tos, ttl }
    const close = open === '[' ? ']' : ')'
    while (!scanner.take(close)) {
      const word = scanner.word() ?? scanner.fail(`expected IP fields, found ${scanner.found()}`)
      if (ECN.has(word)) ecn = ECN.get(word)!
      else if (word === 'tos') tos = scanner.needInteger('a TOS byte')
      else if (word === 'ttl') ttl = scanner.needInteger('a TTL')
      else scanner.unsupported(`IP field ${word}`)
      scanner.take(',')
    }
  }
}

function parsePorts(scanner: Scanner): Packet['ports'] {
  const found = scanner.match(/(\d+)\s*>\s*(\d+)(?=\s)/y)
  if (found === null) return null
  const source = Number(found[1])
  const destination = Number(found[2])
  if (source > 65_535 || destination > 65_535) scanner.fail('a port is not a 16-bit number')
  return { source, destination }
}

function parseFlags(scanner: Scanner): Flags {
  const at = scanner.here()
  const text = scanner.match(/(?:-|[SFRPUEWA.0-7]+)(?=\s)/y)?.[0]
  if (text === undefined) scanner.fail(`expected TCP flags, found ${scanner.found()}`, at)
  const digit = /[0-7]/.exec(text)
  // A digit is the three-bit ACE field of accurate ECN: AE, CWR, ECE.
  const ace = digit === null ? 0 : Number(digit[0])
  return {
    syn: text.includes('S'),
    fin: text.includes('F'),
    rst: text.includes('R'),
    psh: text.includes('P'),
    ack: text.includes('.'),
    urg: text.includes('U'),
    ece: text.includes('E') || (ace & 1) !== 0,
    cwr: text.includes('W') || (ace & 2) !== 0,
    ae: text.includes('A') || (ace & 4) !== 0,
  }
}

function parseSequence(scanner: Scanner): { seq: number | null; length: number } {
  if (scanner.take('...')) return { seq: null, length: parseLength(scanner) }
  const at = scanner.here()
  const seq = scanner.needInteger('a sequence number')
  scanner.expect(':', 'behind the sequence number')
  const end = scanner.needInteger('the end of the sequence')
  const length = parseLength(scanner)
  if (((end - seq) | 0) !== length) scanner.fail(`${seq}:${end} is not ${length} bytes`, at)
  return { seq, length }
}

function parseLength(scanner: Scanner): number {
  scanner.expect('(', 'in front of the payload length')
  const length = scanner.needInteger('a payload length')
  scanner.expect(')', 'behind the payload length')
  if (length < 0 || length > MAX_PAYLOAD) scanner.fail(`a packet of ${length} bytes can't be`)
  return length
}

function parseOptions(scanner: Scanner): readonly TcpOption[] | null {
  if (scanner.take('...')) {
    scanner.expect('>', 'behind <...')
    return null
  }
  const options: TcpOption[] = []
  while (!scanner.take('>')) {
    options.push(parseOption(scanner))
    if (!scanner.take(',')) {
      scanner.expect('>', 'behind the options')
      break
    }
  }
  return options
}

function parseOption(scanner: Scanner): TcpOption {
  const at = scanner.here()
  const name = scanner.match(/[A-Za-z_][\w-]*/y)?.[0]
  switch (name) {
    case 'nop':
    case 'eol':
    case 'sackOK':
      return { kind: name }
    case 'mss':
    case 'wscale':
      return { kind: name, value: scanner.needInteger(`a value for ${name}`) }
    case 'sack':
      return { kind: 'sack', blocks: parseBlocks(scanner) }
    case 'TS':
      return parseTimestamps(scanner)
    case 'FO':
      if (scanner.takeWord('TFO_COOKIE')) return { kind: 'cookie' }
      return { kind: name, bytes: parseBytes(scanner, name) }
    case 'FOEXP':
    case 'md5':
      return { kind: name, bytes: parseBytes(scanner, name) }
    case undefined:
      return scanner.fail(`expected a TCP option, found ${scanner.found()}`, at)
    default:
      return scanner.unsupported(`TCP option ${name}`, at)
  }
}

function parseBlocks(scanner: Scanner): [number, number][] {
  const blocks: [number, number][] = []
  for (;;) {
    const left = scanner.integer()
    if (left === null) break
    scanner.expect(':', 'in a SACK block')
    blocks.push([left, scanner.needInteger('the end of a SACK block')])
  }
  if (blocks.length === 0) scanner.fail('sack without blocks')
  return blocks
}

function parseTimestamps(scanner: Scanner): TcpOption {
  if (scanner.take('...')) return { kind: 'TS', value: null, echo: null }
  if (!scanner.takeWord('val')) scanner.fail(`expected "val", found ${scanner.found()}`)
  const value = scanner.take('...') ? null : scanner.needInteger('a timestamp')
  if (!scanner.takeWord('ecr')) scanner.fail(`expected "ecr", found ${scanner.found()}`)
  const echo = scanner.take('...') ? null : scanner.needInteger('an echoed timestamp')
  return { kind: 'TS', value, echo }
}

function parseBytes(scanner: Scanner, name: string): number[] {
  const hex = scanner.match(/[0-9a-fA-F]+(?!\w)/y)?.[0] ?? ''
  if (hex === '' && scanner.word() !== null) scanner.unsupported(`value of ${name} that is not hexadecimal`)
  if (hex.length % 2 !== 0) scanner.fail(`${name} has half a byte`)
  return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16))
}

function parseIcmp(scanner: Scanner, at: Position): IcmpPacket {
  const type = scanner.word() ?? scanner.fail(`expected an ICMP type, found ${scanner.found()}`)
  let code: string | null = null
  let mtu: number | null = null
  if (!scanner.takeWord('mtu')) {
    // A word on the same line is the code; the next event begins with a time.
    code = scanner.matchHere(/[ \t]*([a-z]\w*)/y)?.[1] ?? null
    if (code === 'mtu') code = null
    else if (scanner.takeWord('mtu')) mtu = scanner.needInteger('an MTU')
  } else mtu = scanner.needInteger('an MTU')
  if (scanner.matchHere(/[ \t]*\[[ \t]*(?:udp|sctp|udplite)\b/y) !== null) {
    scanner.unsupported('ICMP about another protocol', at)
  }
  const quoted = scanner.matchHere(
    /[ \t]*(\[?)[ \t]*(\d+)[ \t]*:[ \t]*(\d+)[ \t]*\([ \t]*(\d+)[ \t]*\)[ \t]*(\]?)/y,
  )
  if (quoted === null) return { kind: 'icmp', at, type, code, mtu, quoted: null }
  if ((quoted[1] === '') !== (quoted[5] === ''))
    scanner.fail('brackets around the quoted segment do not match', at)
  return { kind: 'icmp', at, type, code, mtu, quoted: { seq: Number(quoted[2]), length: Number(quoted[4]) } }
}
