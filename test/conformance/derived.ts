import type { Play, Seen } from './play.ts'
import { recordOf } from './play.ts'
import type { Json } from './record.ts'

/** One act as it went: what completions it brought, for those that look for any. */
export interface LogEntry {
  readonly kind: string
  readonly seen: readonly Seen[]
  /** `rq`: the kernel's head. */
  readonly head: number
}

/** Result keys that the record derives from what the steps tell, by the words of the scenario. */
export function derivedResult(play: Play): Record<string, Json> {
  const { log } = play
  const firstRefill = log.findIndex((entry) => entry.kind === 'refill')
  const firstRound = collected(firstRefill < 0 ? log : log.slice(0, firstRefill))
  const flushes = log.filter((entry, i) => entry.kind === 'FLUSH_RQ' && broughtData(log, i)).length
  const collects = log.filter((entry) => entry.kind === 'collect')
  const firstWith = collects.find((entry) => entry.seen.some((one) => one.data))
  const afterFlush = log.slice(log.findIndex((entry) => entry.kind === 'FLUSH_RQ') + 1)
  const moreData = afterFlush.findIndex((entry) => entry.kind.startsWith('send'))
  const firstFinal = firstRound.find((one) => !one.data)
  const ring = play.rings.get(1)
  const connection = play.connections.get(1)
  const left = connection === undefined ? 0 : play.machine.fionread(connection.server)
  return {
    first_round_data_cqes: firstRound.filter((one) => one.data).length,
    first_final: firstFinal === undefined ? null : finalOf(firstFinal),
    extra_rounds: flushes,
    first_data_cqes: firstWith?.seen.filter((one) => one.data).length ?? 0,
    armed_after_fill: firstWith?.seen.every((one) => one.data) ?? false,
    armed_when_no_data: collects.some((entry, i) => i > 0 && entry.seen.length === 0),
    queue_consumed_without_flush: log
      .slice(
        0,
        log.findIndex((entry) => entry.kind === 'FLUSH_RQ'),
      )
      .some((entry) => entry.head > 0),
    cqes_without_new_request: collected(moreData < 0 ? afterFlush : afterFlush.slice(0, moreData)).length,
    cqes_after_more_data: moreData < 0 ? 0 : collected(afterFlush.slice(moreData)).length,
    cqes_before_refill: firstRound.filter((one) => one.data).length,
    request_ended: play.seen.some((one) => !one.data),
    fionread_after: left,
    fionread_end: left,
    cq_overflow_counter: ring?.state().cq_overflow ?? 0,
  }
}

/** Whether data came between this flush and the next. */
function broughtData(log: readonly LogEntry[], flush: number): boolean {
  const next = log.findIndex((entry, i) => i > flush && entry.kind === 'FLUSH_RQ')
  return collected(log.slice(flush, next < 0 ? log.length : next)).some((one) => one.data)
}

function collected(entries: readonly LogEntry[]): Seen[] {
  return entries.flatMap((entry) => entry.seen.filter((one) => one.completion.ud < 64))
}

function finalOf(seen: Seen): Json {
  const { res, err, flags } = recordOf(seen)
  return { res: res!, ...(err === undefined ? {} : { err }), flags: flags! }
}
