import * as abi from '../../uapi/abi/index.ts'
import { actsOf } from './acts.ts'
import type { OtherFile } from './calls.ts'
import { numberOfWords } from './field-words.ts'
import { NoTranslation, type Play } from './play.ts'
import { numberOf } from './record.ts'
import type { Stepper } from './steps.ts'

/** msg_flags by the names of the cases. */
const MSG_FLAGS: Readonly<Record<string, number>> = {
  oob: 0x1,
  peek: 0x2,
  dontroute: 0x4,
  ctrunc: 0x8,
  trunc: 0x20,
  dontwait: 0x40,
  eor: 0x80,
  waitall: 0x100,
  more: 0x8000,
  errqueue: 0x2000,
  nosignal: 0x4000,
  waitforone: 0x10000,
  fastopen: 0x2000_0000,
  zerocopy: 0x400_0000,
  cmsg_cloexec: 0x4000_0000,
  cmsg_compat: 0x8000_0000,
}

const IOPRIO: Readonly<Record<string, number>> = {
  poll_first: abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST,
  poll_first_only: abi.IORING_RECVSEND_POLL_FIRST,
  fixed_buf: abi.IORING_RECV_MULTISHOT | 4,
  report_usage: abi.IORING_RECV_MULTISHOT | 8,
  bundle: abi.IORING_RECV_MULTISHOT | 16,
  all: 0xffff,
}

const SQE_FLAGS: Readonly<Record<string, number>> = {
  fixed_file: 1,
  io_drain: abi.IOSQE_IO_DRAIN,
  drain: abi.IOSQE_IO_DRAIN,
  io_link: abi.IOSQE_IO_LINK,
  link: abi.IOSQE_IO_LINK,
  hardlink: abi.IOSQE_IO_HARDLINK,
  async: abi.IOSQE_ASYNC,
  buffer_select: abi.IOSQE_BUFFER_SELECT,
  cqe_skip: abi.IOSQE_CQE_SKIP_SUCCESS,
  cqe_skip_success: abi.IOSQE_CQE_SKIP_SUCCESS,
}

type Change = (sqe: abi.Sqe, view: DataView) => void

const BAD_FD = 9999
const AT = {
  ioprio: 2,
  fd: 4,
  off: 8,
  addr: 16,
  len: 24,
  msgFlags: 28,
  bufGroup: 40,
  personality: 42,
  id: 44,
  addr3: 48,
  pad2: 56,
}

/** Group `recvzc_bad`: one request with something unusual about it. */
export function recvZcCase(play: Play, stepper: Stepper): void {
  const name = play.scenario.name.replace(/^recvzc_bad\./, '')
  const change = changeOf(play, name)
  const acts = actsOf(play.scenario)
  for (const act of acts) {
    if (act.kind !== 'submit') stepper.run(act)
    else {
      const ret = play.receive(1, { limit: numberOf(act.step, 'len', 0), change })
      play.expect('submit', act.step.ret, ret)
      play.result.submit_ret = ret
    }
  }
}

function changeOf(play: Play, name: string): Change {
  const id = play.handles.get(1)?.[0]?.id ?? 0
  const fd = descriptorOf(play, name)
  if (fd !== null) return (_sqe, view) => view.setInt32(AT.fd, fd, true)
  const flag = /^(?:flag_|iosqe_)?(.*?)(_ok|_bad|_bad_index)?$/.exec(name)!
  const messages = /^msg_flags_(\w+)$/.exec(name)
  const ioprio = /^ioprio_(\w+)$/.exec(name)
  const bit = /_bit(\d+)$/.exec(name)
  if (messages !== null) {
    const named = messages[1] === 'all' ? 0xffff_ffff : MSG_FLAGS[messages[1]!]
    const value = bit === null ? named : 2 ** Number(bit[1])
    if (value === undefined) throw new NoTranslation(name)
    return (_sqe, view) => view.setUint32(AT.msgFlags, value, true)
  }
  if (ioprio !== null) {
    const words = /ioprio = (\S+?),?( |$)/.exec(play.scenario.what)
    const value = words === null ? null : numberOfWords(words[1]!)
    const known =
      IOPRIO[ioprio[1]!] ?? (bit === null ? null : abi.IORING_RECV_MULTISHOT | (1 << Number(bit[1])))
    const bits = known ?? (value === null ? null : Number(value))
    if (bits === null) throw new NoTranslation(name)
    return (sqe) => sqe.setIoprio(bits)
  }
  if (bit !== null && name.startsWith('flag_')) return (sqe) => sqe.setFlags(1 << Number(bit[1]))
  if (flag[1] === 'fixed_file') return fixedFile(play, flag[2])
  if (SQE_FLAGS[flag[1]!] !== undefined) return (sqe) => sqe.setFlags(SQE_FLAGS[flag[1]!]!)
  switch (name) {
    case 'ring_without_zcrx':
    case 'control':
    case 'tcp6_ok':
      return () => {}
    case 'ifq_idx_1':
      return (_sqe, view) => view.setUint32(AT.id, id + 1, true)
    case 'ifq_idx_max':
      return (_sqe, view) => view.setUint32(AT.id, 0xffff_ffff, true)
    case 'bad_idx_and_bad_fd':
      return (_sqe, view) => {
        view.setUint32(AT.id, id + 1, true)
        view.setInt32(AT.fd, -1, true)
      }
    case 'no_multishot':
    case 'ioprio_0':
      return (sqe) => sqe.setIoprio(0)
    case 'addr_set':
      return (_sqe, view) => view.setUint32(AT.addr, 4096, true)
    case 'addr2_set':
    case 'off_set':
      return (_sqe, view) => view.setUint32(AT.off, 4096, true)
    case 'addr3_set':
      return (_sqe, view) => view.setUint32(AT.addr3, 4096, true)
    case 'pad2_set':
      return (_sqe, view) => view.setUint32(AT.pad2, 1, true)
    case 'buf_group_set':
      return (_sqe, view) => view.setUint16(AT.bufGroup, 1, true)
    case 'personality_bad':
      return (_sqe, view) => view.setUint16(AT.personality, 77, true)
    case 'len_2g':
      return (_sqe, view) => view.setUint32(AT.len, 2 ** 31, true)
    case 'len_max':
      return (_sqe, view) => view.setUint32(AT.len, 0xffff_ffff, true)
    case 'len_1':
      return (_sqe, view) => view.setUint32(AT.len, 1, true)
    default:
      return byWords(play, name)
  }
}

/** Fields of an entry by their names in `struct io_uring_sqe`: place and bytes. */
const FIELDS: Readonly<Record<string, readonly [at: number, bytes: 1 | 2 | 4 | 8]>> = {
  flags: [1, 1],
  ioprio: [AT.ioprio, 2],
  fd: [AT.fd, 4],
  off: [AT.off, 8],
  addr2: [AT.off, 8],
  addr: [AT.addr, 8],
  len: [AT.len, 4],
  msg_flags: [AT.msgFlags, 4],
  buf_group: [AT.bufGroup, 2],
  buf_index: [AT.bufGroup, 2],
  personality: [AT.personality, 2],
  zcrx_ifq_idx: [AT.id, 4],
  addr3: [AT.addr3, 8],
  '__pad2[0]': [AT.pad2, 8],
}

/** `sqe.addr3 = 1`, `fd = -1`, `zcrx_ifq_idx = id + 1`, `msg_flags = MSG_PEEK`, several of them joined by words. */
function byWords(play: Play, name: string): Change {
  const changes: Change[] = []
  const pattern = /(?:sqe\.)?([\w[\]]+)(?: \(\w+\))? = (id \+ \d+|-?[~\w|<]+)/g
  for (const [, field, text] of play.scenario.what.matchAll(pattern)) {
    const place = FIELDS[field!]
    if (place === undefined) continue
    const id = /^id \+ (\d+)$/.exec(text!)
    const message = MSG_FLAGS[text!.replace(/^MSG_/, '').toLowerCase()]
    const words = text!.startsWith('-') ? -BigInt(text!.slice(1)) : numberOfWords(text!)
    const first = play.handles.get(1)?.[0]?.id ?? 0
    const plain = message === undefined ? words : BigInt(message)
    const value = id === null ? plain : BigInt(first + Number(id[1]))
    if (value === null) throw new NoTranslation(name)
    changes.push((_sqe, view) => put(view, place, value))
  }
  if (changes.length === 0) throw new NoTranslation(name)
  return (sqe, view) => {
    for (const change of changes) change(sqe, view)
  }
}

function put(view: DataView, [at, bytes]: readonly [number, number], value: bigint): void {
  for (let i = 0; i < bytes; i++) view.setUint8(at + i, Number(BigInt.asUintN(8, value >> BigInt(8 * i))))
}

/** The descriptor that a name speaks of, or the words `fd = …`; null when it is the connection's. */
function descriptorOf(play: Play, name: string): number | null {
  const plain = name.replaceAll('_', ' ')
  const words = `${plain} ${/^fd = ([^,:]*)/.exec(play.scenario.what)?.[1] ?? ''}`
  const one = (pattern: RegExp): boolean => pattern.test(words)
  if (/^(flag|msg flags|ioprio)| and /.test(plain)) return null
  const other = OTHER_SOCKETS.find(([pattern]) => one(pattern))?.[1]
  if (other !== undefined) return play.machine.openOther(other)
  const family = /tcp6|IPv6/i.test(words) ? abi.AF_INET6 : abi.AF_INET
  if (one(/\btcp6? connecting|connecting TCP/i)) return play.machine.connecting(family)
  if (one(/\btcp6? bound|(?<!un)bound TCP/i)) return play.machine.bound(family)
  if (one(/\btcp6? (unconnected|not connected)|unconnected TCP|not connected/i))
    return play.machine.socket(family)
  if (one(/\blistening\b/i)) return play.machine.listening()
  if (one(/\bfd ring\b/)) return play.ring().descriptor()
  if (one(/\bfd (minus 1|negative)\b/)) return -1
  if (one(/\bfd (closed|bad|9999)\b/)) return BAD_FD
  return /^(fd |pipe|eventfd|memfd|epoll|timerfd|directory)/.test(plain)
    ? play.machine.openOther('file')
    : null
}

/** Sockets of other protocols, by the words for them. */
const OTHER_SOCKETS: readonly (readonly [RegExp, OtherFile])[] = [
  [/\budp6?\b/i, 'udp'],
  [/\bunix\b|AF_UNIX/i, 'unix'],
  [/\braw\b/i, 'raw'],
  [/\bpacket\b|AF_PACKET/i, 'packet'],
  [/\b(netlink|sctp|vsock|dccp)\b|AF_(NETLINK|VSOCK)/i, 'netlink'],
  [/\bmptcp\b/i, 'mptcp'],
]

/** The socket as registered file 0, or an index that names none. */
function fixedFile(play: Play, how: string | undefined): Change {
  const fds = Int32Array.of(play.connection().server)
  const bytes = new Uint8Array(fds.buffer)
  if (how === '_ok') play.ring(1).register(REGISTER_FILES, bytes, 1)
  const index = how === '_ok' ? 0 : play.scenario.what.includes('registered') ? 5 : play.connection().server
  return (sqe, view) => {
    sqe.setFlags(1)
    view.setInt32(AT.fd, index, true)
  }
}

/** IORING_REGISTER_FILES */
const REGISTER_FILES = 2
