/** What comes from a thread that may say anything: nothing else of this package relies on its having the type that it should have. */
import { MessagePort } from 'node:worker_threads'
import * as doors from './door.ts'
import type { FromUser, Question, RingLink, ToQueue } from './messages.ts'

/** Most bytes of parameters: the structure has fewer. */
const MAX_PARAMS = 1024
/** Shortest time (milliseconds) that buffers may be kept before it is told: they are looked at as often. */
const LEAST_WATCH_MS = 1

/** A message as it may be, its fields of whichever type. */
type Anything = Record<string, unknown>

const isU32 = (value: unknown): boolean => isCount(value) && (value as number) <= 0xffff_ffff
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

/** A message that can be acted on; null: none. What a question asks with is looked at by `answerable`. */
export function checkedMessage(message: unknown): FromUser | null {
  if (typeof message !== 'object' || message === null) return null
  const { type, base, seq } = message as Anything
  if (type === 'unmap') return isCount(base) ? (message as FromUser) : null
  return Number.isInteger(seq) ? (message as Question) : null
}

/** Memory of one size: what grows would reach into what lies behind it. */
function isPlain(buffer: unknown): boolean {
  if (!(buffer instanceof SharedArrayBuffer) || buffer.byteLength === 0) return false
  return (buffer as SharedArrayBuffer & { growable?: boolean }).growable !== true
}

/** Whether a question asks with numbers where there have to be some. */
export function answerable(question: Question): boolean {
  const {
    entries,
    params,
    opcode,
    address,
    nrArgs,
    offset,
    length,
    zcrxId,
    afterMs,
    fd,
    token,
    base,
    buffer,
  } = question as unknown as Anything
  switch (question.type) {
    case 'map':
      return isCount(base) && isPlain(buffer)
    case 'open':
      return isU32(entries) && params instanceof Uint8Array && params.length <= MAX_PARAMS
    case 'register':
      return isU32(opcode) && isCount(address) && isU32(nrArgs)
    case 'mmap':
      return isCount(offset) && isCount(length)
    case 'census':
    case 'stats':
      return isU32(zcrxId)
    case 'watch':
      return isU32(zcrxId) && Number.isFinite(afterMs) && (afterMs as number) >= LEAST_WATCH_MS
    case 'hand':
      return Number.isInteger(fd)
    case 'take':
      return isCount(token)
    default:
      return true
  }
}

/** The link of a ring that is asked for over `control`; null: none. */
export function checkedRing(message: unknown): RingLink | null {
  const { type, link } = (message ?? {}) as Partial<ToQueue>
  if (type !== 'ring' || typeof link !== 'object' || link === null) return null
  const { door, calls, events } = link as unknown as Anything
  if (!(calls instanceof MessagePort && events instanceof MessagePort)) return null
  if (!(door instanceof Int32Array) || door.length * 4 !== doors.DOOR_BYTES || !isPlain(door.buffer))
    return null
  return link
}
