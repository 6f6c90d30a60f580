import { parseArgs } from 'node:util'
import { copyBytes, useCopies } from '../copies.ts'
import { allocateArea, allocateShared } from '../driver/area.ts'
import { loadNative } from '../driver/native/index.ts'
import { Sender } from '../stack/tcp/sender.ts'
import { machine } from './harness.ts'
import { NIOV } from './replay.ts'
import { printedTimes, type Times, timed, timesOf } from './rounds.ts'
import { printed, type Table, table } from './table.ts'

const SENDS = [16_384, 65_536, 1 << 18]
const SEGMENT_BYTES = 1448
const SLOT_BYTES = 2048
const SIZES = [64, 256, 512, 1448, 8948]
/** Copies that are timed at a time, each to other chunks. */
const BATCH = 64
const AREA_BYTES = 4 << 20
const SENDER_BYTES = 1 << 20

export interface CopiesResult {
  readonly bytes: number
  /** Threads share the memory that is copied into. */
  readonly shared: boolean
  /** Received data on its way to another buffer, and data to send on its way to a slot, which is summed as well. */
  readonly what: 'copy' | 'copy and sum'
  readonly javascript: Times
  readonly addon: Times
}

function kindOf(shared: boolean): string {
  return shared ? 'of threads' : 'of one thread'
}

export function copiesTable(results: readonly CopiesResult[]): Table {
  return table(
    ['what', 'bytes', 'into memory', 'JavaScript', 'addon', 'addon/JavaScript'],
    results.map(({ what, bytes, shared, javascript, addon }) => [
      what,
      String(bytes),
      kindOf(shared),
      printedTimes(javascript, 0),
      printedTimes(addon, 0),
      (addon.p10 / javascript.p10).toFixed(2),
    ]),
  )
}

export interface SendResult {
  /** Of one SEND. */
  readonly bytes: number
  readonly shared: boolean
  /** Of a segment, sent once. */
  readonly copied: Times
  readonly lent: Times
}

export function sendsTable(results: readonly SendResult[]): Table {
  return table(
    ['bytes of a send', 'into memory', 'copied (SEND)', 'lent (SEND_ZC)', 'lent/copied'],
    results.map(({ bytes, shared, copied, lent }) => [
      String(bytes),
      kindOf(shared),
      printedTimes(copied, 0),
      printedTimes(lent, 0),
      (lent.p10 / copied.p10).toFixed(2),
    ]),
  )
}

function memory(shared: boolean): Uint8Array<ArrayBufferLike> {
  return shared ? allocateShared(AREA_BYTES, 0) : allocateArea(AREA_BYTES, 0)
}

/** Sends of `bytes` from the application's memory to slots, in segments, which are acknowledged at once. */
function sends(shared: boolean, bytes: number, rounds: number): SendResult {
  const [source, slots] = [memory(shared), memory(shared)]
  const sender = new Sender(SENDER_BYTES)
  const segments = Math.ceil(bytes / SEGMENT_BYTES)
  const nobody = { lent: () => {}, returned: () => {} }
  const figures = [undefined, nobody].map(() => new Float64Array(rounds))
  let from = 0
  let slot = 0
  for (let i = -rounds; i < rounds; i++)
    for (const [way, lender] of [undefined, nobody].entries()) {
      from = from + 2 * bytes > source.length ? 0 : from + bytes
      figures[way]![Math.max(i, 0)] = timed(segments, () => {
        sender.push(source, from, from + bytes, lender)
        for (let skip = 0; skip < bytes; skip += SEGMENT_BYTES) {
          slot = slot + 2 * SLOT_BYTES > slots.length ? 0 : slot + SLOT_BYTES
          sender.peekSum(skip, Math.min(SEGMENT_BYTES, bytes - skip), slots, slot + 66)
        }
        sender.discard(bytes)
      })
    }
  return { bytes, shared, copied: timesOf(figures[0]!), lent: timesOf(figures[1]!) }
}

/** Both ways by turns, as `useCopies` has them. */
function compare(rounds: number, things: () => void): { javascript: Times; addon: Times } {
  const addon = loadNative()
  const figures = [null, addon].map(() => new Float64Array(rounds))
  for (let i = -rounds; i < rounds; i++)
    for (const [way, copies] of [null, addon].entries()) {
      useCopies(copies)
      figures[way]![Math.max(i, 0)] = timed(BATCH, things)
    }
  useCopies(addon)
  return { javascript: timesOf(figures[0]!), addon: timesOf(figures[1]!) }
}

function measure(shared: boolean, bytes: number, rounds: number): CopiesResult[] {
  const area = memory(shared)
  const chunks = Math.floor(area.length / (4 * NIOV))
  const source = new Uint8Array(SENDER_BYTES)
  let at = 0
  const place = (): number => {
    at = at + 1 === chunks ? 0 : at + 1
    return at * 4 * NIOV + 66
  }
  const copy = compare(rounds, () => {
    for (let i = 0; i < BATCH; i++) copyBytes(area, place(), source, 0, bytes)
  })
  const sender = new Sender(SENDER_BYTES)
  sender.push(source, 0, SENDER_BYTES)
  const most = Math.floor(SENDER_BYTES / bytes)
  let segment = 0
  const sum = compare(rounds, () => {
    for (let i = 0; i < BATCH; i++) {
      segment = segment + 1 === most ? 0 : segment + 1
      sender.peekSum(segment * bytes, bytes, area, place())
    }
  })
  return [
    { what: 'copy', bytes, shared, ...copy },
    { what: 'copy and sum', bytes, shared, ...sum },
  ]
}

/** `npm run bench -- copies`: nanoseconds of the copies that remain, by JavaScript and by the addon, and of what is sent, copied and lent. */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '2000' },
      json: { type: 'boolean', default: false },
    },
  })
  const rounds = Number(values.rounds)
  if (!(rounds >= 10)) throw new Error('--rounds is 10 at least')
  const results = [false, true]
    .flatMap((shared) => SIZES.flatMap((bytes) => measure(shared, bytes, rounds)))
    .sort((a, b) => a.what.localeCompare(b.what))
  const sent = [false, true].flatMap((shared) => SENDS.map((bytes) => sends(shared, bytes, rounds)))
  if (!values.json)
    for (const lines of [copiesTable(results), sendsTable(sent)])
      for (const line of printed(lines)) console.log(line)
  console.log(JSON.stringify({ bench: 'copies', machine: machine(), rounds, results, sends: sent }))
}
