/**
 * What counts as the same. Errno, values written back, order, `res`, flags, buffer numbers and offsets, queue heads, events and
 * what is left in the socket are compared exactly, with these exceptions and no others:
 *
 * 1. Where the cut of the stream into completions is undetermined (`isUndetermined`), the exact cut is not compared: only
 *    totals, order, the bytes, 1 <= res <= a buffer, a buffer of its own from its beginning for each completion, the buffers'
 *    order as far as both go, and everything that is not data.
 * 2. `data_ok: false` in a record says that the recorder could not check (its notes say so): ours are checked all the same.
 * 3. Result keys that the record itself says vary between its runs.
 * 4. After a NIC has dropped: how often TCP sends something again and when, which takes a buffer each time, is TCP's. Completions
 *    that come behind a later refill (`afterDrops`) are compared as in 1, and that there are some where the record has some. The
 *    NIC's own count of packets and drops is compared where no segment came twice.
 */
import type { Listed } from './acts.ts'
import type { IntendedDifference } from './intended.ts'
import { type Play, recordOf, type Seen } from './play.ts'
import type { Json, JsonObject, Scenario } from './record.ts'
import { numberOf } from './record.ts'

/** One `send` of at most so many bytes lay in one piece, in every scenario (record point 22). */
const ONE_PIECE = 16_384
/** Sends of whole pages showed no other cut up to here. */
const WHOLE_PAGES = 131_072
const PAGE = 4096

/**
 * Whether TCP's own buffering decides where completions are cut: more than 16 KiB in one send, small sends that TCP merges,
 * very many sends, or a record that differs from run to run. Packets of a device queue are cut by their size alone.
 */
export function isUndetermined(scenario: Scenario): boolean {
  if (!scenario.sameInAllRuns) return true
  if (scenario.name.startsWith('dev.') || scenario.name.startsWith('dev_reg.')) return false
  return scenario.steps.some((step) => {
    if (step.do === 'send') return numberOf(step, 'len', 0) > ONE_PIECE && !isWholePages(scenario)
    if (step.do !== 'send_many') return false
    const total = numberOf(step, 'total', 0)
    return numberOf(step, 'each', 0) % PAGE !== 0 || total > WHOLE_PAGES
  })
}

/** A send of more than 16 KiB whose recorded completions are all whole pages: then nothing was cut elsewhere. */
function isWholePages({ result }: Scenario): boolean {
  return result.min_res === PAGE && result.max_res === PAGE
}

/** Compares a list of completions with what came. */
export function compareCompletions(
  play: Play,
  where: string,
  listed: readonly Listed[],
  seen: readonly Seen[],
  undetermined: boolean,
): void {
  for (const one of seen) checkInvariants(play, where, one)
  if (afterDrops(play)) {
    play.marks.set('segments came again', 1)
    compareLoosely(play, where, listed, seen)
    const data = (some: boolean): string => (some ? 'some data' : 'no data')
    const expected = listed.some((one) => one === 'gap' || one.niov !== undefined)
    play.expect(where, data(expected), data(seen.some((one) => one.data)))
  } else if (undetermined) compareLoosely(play, where, listed, seen)
  else compareExactly(play, where, listed, seen)
}

/** Whether what comes now has been sent again, into buffers that were returned after the NIC had found none. */
function afterDrops(play: Play): boolean {
  const dropped = play.marks.get('dropped before refill') ?? 0
  return play.route === 'dev' && dropped > 0
}

function compareExactly(play: Play, where: string, listed: readonly Listed[], seen: readonly Seen[]): void {
  const gap = listed.indexOf('gap')
  if (gap < 0) {
    const count = Math.max(listed.length, seen.length)
    for (let i = 0; i < count; i++) compareOne(play, `${where}, completion ${i}`, listed[i], seen[i])
    return
  }
  for (let i = 0; i < gap; i++) compareOne(play, `${where}, completion ${i}`, listed[i], seen[i])
  const behind = listed.length - gap - 1
  for (let i = 0; i < behind; i++) {
    const at = seen.length - behind + i
    compareOne(play, `${where}, completion ${at}`, listed[gap + 1 + i], seen[at])
  }
}

function compareOne(play: Play, where: string, expected: Listed | undefined, got: Seen | undefined): void {
  if (expected === undefined || got === undefined) {
    play.differs(where, expected ?? null, got === undefined ? null : recordOf(got))
    return
  }
  const record = recordOf(got)
  for (const [key, value] of Object.entries(expected as JsonObject)) {
    if (key === 'data_ok' && value === false) continue
    if (JSON.stringify(value) !== JSON.stringify(record[key])) {
      play.differs(where, expected, record)
      return
    }
  }
}

function compareLoosely(play: Play, where: string, listed: readonly Listed[], seen: readonly Seen[]): void {
  const expected = listed.filter((one): one is JsonObject => one !== 'gap' && one.niov === undefined)
  const got = seen.filter((one) => !one.data)
  const count = Math.max(expected.length, got.length)
  for (let i = 0; i < count; i++)
    compareOne(play, `${where}, completion without data ${i}`, expected[i], got[i])
  // Nothing was returned yet: then the buffers are handed out in the same order, however many there are.
  if ((play.done.get('refill') ?? 0) > 0 || (play.done.get('FLUSH_RQ') ?? 0) > 0) return
  const buffers = listed.filter((one): one is JsonObject => one !== 'gap' && one.niov !== undefined)
  const data = seen.filter((one) => one.data)
  const first = data[0]
  if (first === undefined || first !== play.seen.find((one) => one.data)) return
  for (let i = 0; i < Math.min(buffers.length, data.length); i++) {
    const wanted = buffers[i]!
    const got = recordOf(data[i]!)
    for (const key of ['area', 'niov', 'in', 'flags', 'pad'])
      play.expect(`${where}, completion ${i}, ${key}`, wanted[key], got[key])
  }
}

/** What holds of every data completion, whatever the cut. */
function checkInvariants(play: Play, where: string, seen: Seen): void {
  if (!seen.data) return
  const { res, flags } = seen.completion
  const handle = play.requests.get(seen.completion.ud)?.handle
  const size = handle?.instance.bufferBytes ?? PAGE
  if (res < 1 || seen.inBuffer + res > size) play.differs(`${where}, res`, `1..${size}`, res)
  const known = flags.filter((flag) => flag !== 'CQE_32')
  if (known.length !== 1 || known[0] !== 'MORE') play.differs(`${where}, flags`, ['MORE'], [...flags])
  if (!seen.dataOk && !play.marks.has('bytes not checked'))
    play.differs(`${where}, bytes`, true, recordOf(seen))
  if (play.route === 'dev') return
  const key = play.heldKey(handle?.instance, seen.area, seen.niov)
  if ((play.held.get(key) ?? 0) > 1) play.differs(`${where}, buffer`, 'its own', seen.niov)
  if (seen.inBuffer !== 0) play.differs(`${where}, offset in the buffer`, 0, seen.inBuffer)
}

/** The keys of a result that sum up data completions. */
const CUT_KEYS = new Set([
  'data_cqes',
  'min_res',
  'max_res',
  'res_runs',
  'niov_runs',
  'distinct_niovs',
  'first_data_cqes',
  'first_round_data_cqes',
  'extra_rounds',
])

/**
 * Compares the result. Keys that only prose explains and nobody translates are returned: a scenario with such is not passed.
 */
export function compareResult(
  play: Play,
  undetermined: boolean,
  intended: IntendedDifference | null = null,
): string[] {
  const { result, varying } = play.scenario
  const { seen, marks } = play
  const later = marks.get('later')
  const summaries: [prefix: string, list: readonly Seen[]][] = [
    ['', seen],
    ['later_', later === undefined ? [] : seen.slice(later)],
    ['child_', seen.filter((one) => one.ring === 2)],
  ]
  if (Object.keys(result).some((key) => key.startsWith('child_')))
    summaries[0] = ['', seen.filter((one) => one.ring !== 2)]
  const known: Record<string, Json> = {}
  for (const [prefix, list] of summaries) {
    for (const [key, value] of Object.entries(summaryOf(list))) known[prefix + key] = value
  }
  Object.assign(known, play.result)
  const unknown: string[] = []
  for (const key of intended?.keys ?? []) if (!(key in result)) play.notCompared[key] = intended!.reason
  const again = marks.has('segments came again')
  for (const [key, value] of Object.entries(result)) {
    const plain = key.replace(/^(later|child)_/, '')
    const cut = CUT_KEYS.has(plain)
    if (key === 'note') continue
    if (intended?.keys.includes(key)) play.notCompared[key] = intended.reason
    else if (varying.includes(key)) play.notCompared[key] = 'differs between the runs of the record'
    else if (undetermined && cut) play.notCompared[key] = 'TCP decides how the stream is cut'
    else if (again && (cut || plain === 'bytes')) play.notCompared[key] = 'TCP decides what is sent again'
    else if (plain === 'data_ok' && value === false)
      play.notCompared[key] = 'the recorder could not check the bytes'
    else if (!(key in known)) unknown.push(key)
    else play.expect(`result.${key}`, value, known[key])
  }
  return unknown
}

function summaryOf(seen: readonly Seen[]): Record<string, Json> {
  const data = seen.filter((one) => one.data)
  const others = seen.filter((one) => !one.data)
  const lengths = data.map((one) => one.completion.res)
  const final = others.at(-1)
  const summary: Record<string, Json> = {
    data_cqes: data.length,
    bytes: lengths.reduce((sum, length) => sum + length, 0),
    data_ok: data.every((one) => one.dataOk),
    all_have_MORE: data.every((one) => one.completion.flags.includes('MORE')),
    all_start_at_niov_begin: data.every((one) => one.inBuffer === 0),
    distinct_niovs: new Set(data.map((one) => `${one.area}:${one.niov}`)).size,
    non_data_cqes: others.length,
    still_armed: others.length === 0,
    min_res: Math.min(...lengths),
    max_res: Math.max(...lengths),
    res_runs: runLengths(lengths),
    niov_runs: consecutiveRuns(data.map((one) => one.niov)),
  }
  if (final !== undefined) {
    const { res, err, flags } = recordOf(final)
    summary.final = { res: res!, ...(err === undefined ? {} : { err }), flags: flags! }
  }
  return summary
}

/** `[value, count]` pairs. */
export function runLengths(values: readonly number[]): number[][] {
  const runs: number[][] = []
  for (const value of values) {
    const last = runs.at(-1)
    if (last !== undefined && last[0] === value) last[1]!++
    else runs.push([value, 1])
  }
  return runs
}

/** `[first, last]` of runs that go up or down by one. */
export function consecutiveRuns(values: readonly number[]): number[][] {
  const runs: number[][] = []
  let step = 0
  for (const value of values) {
    const last = runs.at(-1)
    const change = last === undefined ? 0 : value - last[1]!
    if (last !== undefined && Math.abs(change) === 1 && (step === 0 || step === change)) {
      last[1] = value
      step = change
    } else {
      runs.push([value, value])
      step = 0
    }
  }
  return runs
}
