/**
 * What only prose says of a scenario, by name: how rings are made, and what happens between the steps that are listed.
 * Everything else is read from the scenario itself. Rules match whole names; the first that matches counts.
 */
import * as abi from '../../uapi/abi/index.ts'
import type { Act } from './acts.ts'
import type { Route } from './calls.ts'
import { beyond, buffer, ENTRIES, entries, otherArea, push, refill, setTail } from './entries.ts'
import { NoTranslation, type Play } from './play.ts'
import type { Scenario } from './record.ts'
import { errnoOf, type RegistrationOptions } from './registration.ts'
import type { Hints } from './steps.ts'
import { DEVICE_TRANSLATIONS } from './translations-dev.ts'

/** Where between the acts something happens: at the ends, or at the nth act of a kind, from 1. */
export type Place = 'start' | 'end' | readonly ['before' | 'after', kind: string, nth?: number]

export interface Hidden {
  readonly at: Place
  readonly run: (play: Play) => void
}

export interface Translation {
  readonly name: RegExp
  readonly hidden?: (match: RegExpExecArray, scenario: Scenario) => readonly Hidden[]
  readonly hints?: (match: RegExpExecArray) => Hints
  readonly registration?: (match: RegExpExecArray) => Partial<RegistrationOptions>
  readonly ringFlags?: number
  readonly cqEntries?: number
  /** Makes instances and connections, instead of what is usual. */
  readonly opening?: (play: Play) => void
  /** Where connections go, if not over what the group is about. */
  readonly route?: Route
  /** Instances on ring 1; default 1. */
  readonly instances?: number
  /** Adds something to scenarios of a kind: what else they are about is not known. */
  readonly general?: true
}

const SOL_SOCKET = 1
const SO_RCVLOWAT = 18
/** Where the refill region of zcrx id 0 would be mapped. */
const REGION_MMAP_OFFSET = 0x3000_0000

const end =
  (how: 'fin' | 'reset' | 'shutdown', stream = 1): Hidden['run'] =>
  (play) =>
    play.end(stream, how)
const shutdownReceiver =
  (how: number): Hidden['run'] =>
  (play) =>
    play.shutdownReceiver(how)
/** NOPs with these user_data, on the ring that acts are about. */
const nops =
  (...uds: number[]): Hidden['run'] =>
  (play) =>
    play.nops(play.openRing, uds)
/** The recording filled a completion queue of 8 with two submissions of four. */
const eightNops = nops(90, 91, 92, 93, 90, 91, 92, 93)
const closeRing =
  (number: number): Hidden['run'] =>
  (play) =>
    play.ring(number).close()
const both =
  (first: Hidden['run'], second: Hidden['run']): Hidden['run'] =>
  (play) => {
    first(play)
    second(play)
  }
const firstFlush: Place = ['before', 'FLUSH_RQ', 1]

export const TRANSLATIONS: readonly Translation[] = [
  // data
  {
    name: /^data\.oob_byte$/,
    hidden: () => [
      {
        at: 'start',
        run: (play) =>
          play.expect(
            'SO_OOBINLINE',
            0,
            play.machine.setOption(play.connection().server, SOL_SOCKET, abi.SO_OOBINLINE, 0),
          ),
      },
      {
        at: ['after', 'submit', 1],
        run: (play) => {
          play.send(1, 10)
          // The urgent byte is none of the stream that is delivered.
          play.sendUrgent(1, 0x21)
          play.send(1, 10)
        },
      },
      {
        at: 'end',
        run: (play) => {
          play.result.recv2_at_end = play.recv(1, 4096).ret
          play.result.recv2_again = play.recv(1, 4096).ret
        },
      },
    ],
  },
  {
    name: /^data\.rcvlowat_(\d+)$/,
    hidden: ([, bytes]) => [
      {
        at: 'start',
        run: (play) =>
          play.expect(
            'SO_RCVLOWAT',
            0,
            play.machine.setOption(play.connection().server, SOL_SOCKET, SO_RCVLOWAT, Number(bytes)),
          ),
      },
    ],
  },
  {
    name: /^data\.two_(ifqs|instances)\w*$/,
    general: true,
    instances: 2,
    hints: () => ({ handleFor: (play, ud) => play.handle(1, ud - 1) }),
  },
  {
    name: /^data\.one_socket_two_ifqs$/,
    instances: 2,
    hints: () => ({ handleFor: (play, ud) => play.handle(1, ud - 1) }),
  },
  {
    name: /^data\.mixed_ring_wrap$/,
    cqEntries: 8,
    hidden: () => [{ at: 'start', run: nops(99) }],
  },
  {
    name: /^data\.rx_buf_len_(\d+)$/,
    registration: ([, bytes]) => ({ rxBufLen: Number(bytes), huge: true, areaPages: 512 }),
  },
  {
    name: /^data\.stream_(\d+)([KMG]iB)_refill_each$/,
    hidden: ([, count, unit]) => [{ at: 'end', run: stream(Number(count), unit!) }],
  },
  // end
  { name: /^end\.eof_no_data$/, hidden: () => [{ at: ['after', 'submit', 1], run: end('fin') }] },
  { name: /^end\.rearm_after_final$/, hidden: () => [{ at: ['after', 'collect', 3], run: end('fin') }] },
  {
    name: /^end\.limit_(?!.*no_eof).*eof_(before|after)$/,
    hidden: () => [{ at: ['after', 'send', 1], run: end('fin') }],
  },
  {
    name: /^end\.local_shut_rd_armed$/,
    hidden: () => [{ at: ['after', 'submit', 1], run: shutdownReceiver(abi.SHUT_RD) }],
  },
  {
    name: /^end\.local_shut_rd_before$/,
    hidden: () => [{ at: ['before', 'submit', 1], run: shutdownReceiver(abi.SHUT_RD) }],
  },
  {
    name: /^end\.local_shut_rdwr_armed$/,
    hidden: () => [{ at: ['after', 'submit', 1], run: shutdownReceiver(abi.SHUT_RDWR) }],
  },
  {
    name: /^end\.local_shut_rdwr_before$/,
    hidden: () => [{ at: ['before', 'submit', 1], run: shutdownReceiver(abi.SHUT_RDWR) }],
  },
  {
    name: /^end\.local_shut_wr(_armed)?$/,
    hidden: () => [{ at: ['after', 'submit', 1], run: shutdownReceiver(abi.SHUT_WR) }],
  },
  {
    name: /^end\.rst_/,
    general: true,
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          play.result.so_error_after = play.machine.getOption(
            play.connection().server,
            SOL_SOCKET,
            abi.SO_ERROR,
          )
        },
      },
    ],
  },
  // exhaust
  {
    name: /^exhaust\.data_stays_readable$/,
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          const { ret, ok } = play.recv(1, 1 << 20)
          play.result.recv = ret
          play.result.recv_continues_without_loss = ok
        },
      },
    ],
  },
  // refill
  {
    name: /^refill\.(bad_then_good)$/,
    hidden: () => [{ at: firstFlush, run: both(beyond, refill(1)) }],
  },
  { name: /^refill\.good_bad_good$/, hidden: () => [{ at: ['before', 'refill', 2], run: beyond }] },
  {
    name: /^refill\.bad_bad_good$/,
    hidden: () => [{ at: ['before', 'refill', 1], run: both(beyond, beyond) }],
  },
  { name: /^refill\.wrong_area_then_good$/, hidden: () => [{ at: ['before', 'refill', 1], run: otherArea }] },
  {
    name: /^refill\.bad_at_(\d+)_of_(\d+)$/,
    hidden: ([, bad, count]) => [{ at: firstFlush, run: entries(Number(count), Number(bad)) }],
  },
  {
    name: /^refill\.many_(\d+)$/,
    hidden: ([, count]) => [{ at: firstFlush, run: entries(Number(count), -1) }],
  },
  {
    name: /^refill\.tail_behind_head$/,
    hidden: () => [
      { at: ['before', 'FLUSH_RQ', 2], run: setTail(0) },
      { at: ['before', 'FLUSH_RQ', 3], run: setTail(1) },
    ],
  },
  {
    name: /^refill\.user_writes_head$/,
    hidden: () => [
      {
        at: ['after', 'FLUSH_RQ', 1],
        run: (play) => {
          play.handle().instance.head = 5
        },
      },
    ],
  },
  {
    name: /^refill\.tail_jump$/,
    hidden: () => [
      { at: firstFlush, run: (play) => setTail((play.handle().instance.head + 0x8000_0000) >>> 0)(play) },
      { at: ['before', 'rq', 1], run: setTail(0) },
    ],
  },
  {
    name: /^refill\.len_(\d+)$/,
    hidden: ([, length]) => [
      { at: firstFlush, run: push((play) => ({ off: buffer(play, 0) * 4096, len: Number(length) })) },
    ],
  },
  {
    name: /^(refill|exhaust)\.\w*(socket_closed?|closed?_socket|after_close)\w*$/,
    general: true,
    hidden: () => [
      { at: ['after', 'collect', 1], run: (play) => play.machine.close(play.connection().server) },
    ],
  },
  {
    name: new RegExp(`^refill\\.(${Object.keys(ENTRIES).join('|')})$`),
    hidden: ([, name]) => [{ at: firstFlush, run: ENTRIES[name!]! }],
  },
  // cq_overflow
  {
    name: /^cq_overflow\.cq\d+_(eof|rst)_when_full$/,
    hidden: ([, how]) => [
      { at: ['after', 'submit', 1], run: both(eightNops, end(how === 'rst' ? 'reset' : 'fin')) },
    ],
  },
  {
    name: /^cq_overflow\.cq8_full_then_\w+$/,
    hidden: () => [{ at: ['after', 'submit', 1], run: eightNops }],
  },
  // cancel
  {
    name: /^cancel\.cqe_skip_success$/,
    hidden: () => [
      {
        at: ['after', 'send', 1],
        run: (play) => play.receive(1, { change: (sqe) => sqe.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS) }),
      },
      { at: ['after', 'collect', 1], run: end('fin') },
    ],
  },
  {
    name: /^cancel\.linked_nop_unlimited$/,
    hidden: () => [{ at: ['after', 'collect', 1], run: end('fin') }],
  },
  {
    name: /^cancel\.socket_shutdown_(rdwr|rd)$/,
    hidden: ([, how]) => [
      { at: ['after', 'submit', 1], run: shutdownReceiver(how === 'rd' ? abi.SHUT_RD : abi.SHUT_RDWR) },
    ],
  },
  {
    name: /^cancel\.ring_exit_pending_data$/,
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          closeRing(1)(play)
          play.result.recv_after = play.recv(1, 1 << 16).ret
        },
      },
    ],
  },
  {
    name: /^cancel\.area_unmapped_while_registered$/,
    hidden: () => [
      {
        at: 'start',
        run: (play) => {
          // What the user maps there now is other memory.
          const { instance } = play.handle()
          instance.areas[0] = new Uint8Array(instance.areas[0]!.length)
          play.marks.set('bytes not checked', 1)
        },
      },
    ],
  },
  // event
  { name: /^event\.cq_full$/, hidden: () => [{ at: ['after', 'submit', 2], run: eightNops }] },
  {
    name: /^event\.copy_cq_full$/,
    hidden: () => [{ at: ['after', 'submit', 1], run: nops(90, 91, 92, 93, 94, 95, 96) }],
  },
  {
    name: /^event\.exporter_exit\w*$/,
    general: true,
    hidden: () => [{ at: ['after', 'IMPORT', 1], run: closeRing(1) }],
  },
  // import
  {
    name: /^import\.import_twice_one_ring$/,
    hints: () => ({ ringFor: () => 2, handleFor: (play, ud) => play.handle(2, ud - 1) }),
    hidden: () => [{ at: 'end', run: imports }],
  },
  {
    name: /^import\.no_caps?$/,
    hidden: () => [
      {
        at: ['before', 'IMPORT', 1],
        run: (play) => {
          play.machine.setCapable(false)
        },
      },
      {
        at: 'end',
        run: (play) => void Object.assign(play.result, errnoOf('ret', returned(play.returned.import, 0))),
      },
    ],
  },
  {
    name: /^import\.ok$/,
    hidden: () => [{ at: 'end', run: (play) => void Object.assign(play.result, play.imported) }],
  },
  {
    name: /^import\.(user|kernel)_region_mmap$/,
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          const memory = play.ring(1).backend.mmap(REGION_MMAP_OFFSET, 4096)
          Object.assign(play.result, errnoOf('mmap', typeof memory === 'number' ? memory : 0))
        },
      },
    ],
  },
  { name: /^import\.other_process$/, hints: () => ({ ringFor: (_play, ud) => 3 - ud }) },
  {
    name: /^import\.fd_outlives_rings$/,
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          play.result.import_ret = returned(play.returned.import, 0)
        },
      },
    ],
  },
  {
    name: /^import\.re_export$/,
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          play.result.ret = returned(play.returned.export, 1)
        },
      },
    ],
  },
]

/** Results of two imports by one ring. */
function imports(play: Play): void {
  Object.assign(play.result, errnoOf('first', returned(play.returned.import, 0)))
  Object.assign(play.result, errnoOf('second', returned(play.returned.import, 1)))
}

/** What the nth of such calls has returned. @throws NoTranslation when there were fewer */
function returned(results: readonly number[], nth: number): number {
  const result = results[nth]
  if (result === undefined) throw new NoTranslation(`call ${nth + 1} of ${results.length}`)
  return result
}

const UNITS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

/** A sender that goes on while every buffer is returned and flushed as soon as its completion is seen; then it closes. */
function stream(count: number, unit: string): Hidden['run'] {
  return (play) => {
    const total = count * UNITS[unit]!
    const handle = play.handle()
    let flushes = 0
    let completions = 0
    let final: number | null = null
    const look = (): void => {
      for (const seen of play.note(1, play.ring(1).drain(1))) {
        if (!seen.data) {
          final = seen.completion.res
          if (final === 0) continue
          play.receive(1)
          continue
        }
        completions++
        play.refill(seen.niov)
        if (play.flush(handle) === 0) flushes++
      }
    }
    while (play.connection().sent < total) {
      play.send(1, Math.min(16_384, total - play.connection().sent))
      look()
    }
    play.end(1, 'fin')
    look()
    play.result.flushes_equal_cqes = flushes === completions
    play.result.ended_by_eof = final === 0
  }
}

export function translationOf(
  scenario: Scenario,
): { translation: Translation; match: RegExpExecArray } | null {
  for (const translation of [...TRANSLATIONS, ...DEVICE_TRANSLATIONS]) {
    const match = translation.name.exec(scenario.name)
    if (match !== null) return { translation, match }
  }
  return null
}

/** Index of the act that a place is in front of. */
export function indexOf(acts: readonly Act[], place: Place): number {
  if (place === 'start') return 0
  if (place === 'end') return acts.length
  const [side, kind, nth = 1] = place
  let count = 0
  for (let i = 0; i < acts.length; i++) {
    if (acts[i]!.kind !== kind || ++count < nth) continue
    return side === 'before' ? i : i + 1
  }
  return -1
}
