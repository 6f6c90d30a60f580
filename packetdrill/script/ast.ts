import type { Position } from '../errors.ts'

/** A script as it was written. Times are microseconds. */
export interface Script {
  readonly options: readonly ScriptOption[]
  /** Shell blocks without a time: before and behind the events. */
  readonly blocks: readonly ShellBlock[]
  readonly events: readonly ScriptEvent[]
}

/** `--name=value` in front of the events. */
export interface ScriptOption {
  readonly at: Position
  readonly name: string
  /** '' when nothing is assigned. */
  readonly value: string
}

export interface ScriptEvent {
  readonly at: Position
  /** As written, on one line, without the time. */
  readonly text: string
  readonly time: EventTime
  readonly body: Packet | IcmpPacket | Call | ShellBlock | CodeBlock
}

export interface EventTime {
  readonly kind: 'absolute' | 'relative' | 'any'
  readonly from: number
  /** End of a range `T1~T2`, null when there is none. */
  readonly to: number | null
  /** When a blocking call `T...T2` returns, null for what does not block. */
  readonly until: number | null
}

export interface IpInfo {
  /** Codepoint of the ECN field, null when not written. */
  readonly ecn: number | null
  /** The whole TOS or traffic class byte. */
  readonly tos: number | null
  readonly ttl: number | null
}

/** A TCP segment, injected (`in`) or expected (`out`). */
export interface Packet {
  readonly kind: 'tcp'
  readonly direction: 'in' | 'out'
  readonly ip: IpInfo
  readonly ports: { readonly source: number; readonly destination: number } | null
  /** Letters as written, without order. */
  readonly flags: Flags
  /** Null: not compared. */
  readonly seq: number | null
  readonly length: number
  readonly ack: number | null
  readonly window: number | null
  readonly urgent: number | null
  /** Null: not compared (`<...>`). */
  readonly options: readonly TcpOption[] | null
}

export interface Flags {
  readonly syn: boolean
  readonly fin: boolean
  readonly rst: boolean
  readonly psh: boolean
  readonly ack: boolean
  readonly urg: boolean
  readonly ece: boolean
  readonly cwr: boolean
  readonly ae: boolean
}

export type TcpOption =
  | { readonly kind: 'nop' | 'eol' | 'sackOK' }
  | { readonly kind: 'mss' | 'wscale'; readonly value: number }
  | { readonly kind: 'sack'; readonly blocks: readonly (readonly [number, number])[] }
  /** Null: any value. */
  | { readonly kind: 'TS'; readonly value: number | null; readonly echo: number | null }
  | { readonly kind: 'FO' | 'FOEXP' | 'md5'; readonly bytes: readonly number[] }
  /** `FO TFO_COOKIE`: the Fast Open cookie that the stack gave this host. */
  | { readonly kind: 'cookie' }
  /** Of a live packet only. */
  | { readonly kind: 'unknown'; readonly number: number; readonly bytes: readonly number[] }

/** An injected ICMP error about a segment of the stack's. */
export interface IcmpPacket {
  readonly kind: 'icmp'
  readonly at: Position
  readonly type: string
  readonly code: string | null
  readonly mtu: number | null
  readonly quoted: { readonly seq: number; readonly length: number } | null
}

export interface Call {
  readonly kind: 'call'
  readonly at: Position
  readonly name: string
  readonly args: readonly Value[]
  /** Null: any (`?`). */
  readonly result: number | null
  /** Name of the error a result of -1 comes with, '' when none is written. */
  readonly errno: string
}

/** A shell block: never executed. */
export interface ShellBlock {
  readonly kind: 'shell'
  readonly at: Position
  readonly text: string
}

/** `%{ ... }%` */
export interface CodeBlock {
  readonly kind: 'code'
  readonly at: Position
  readonly text: string
}

/** An argument of a call. */
export type Value =
  | { readonly kind: 'ellipsis'; readonly at: Position }
  | { readonly kind: 'number'; readonly at: Position; readonly value: number }
  /** Names and numbers joined by `|`. */
  | { readonly kind: 'names'; readonly at: Position; readonly names: readonly string[] }
  | { readonly kind: 'string'; readonly at: Position; readonly value: string }
  | { readonly kind: 'list'; readonly at: Position; readonly items: readonly Value[] }
  | { readonly kind: 'struct'; readonly at: Position; readonly fields: ReadonlyMap<string, Value> }
  /** `htons(8080)`, `inet_addr("192.0.2.1")` */
  | { readonly kind: 'macro'; readonly at: Position; readonly name: string; readonly args: readonly Value[] }
