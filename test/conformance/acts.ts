import { isObject, type Json, type JsonObject, type Scenario } from './record.ts'

/** Quiet time that ends a drain when the step doesn't say another, milliseconds. */
const QUIET_MS = 120

/** Completions the record lists, in order; `gap` stands where it left some out. */
export type Listed = JsonObject | 'gap'

/** Something that is done, with what the record says came back. */
export interface Act {
  /** First word or two of what is done, in lower case; `collect` where completions are looked for. */
  readonly kind: string
  /** The step; of a `collect` the one that ends it, or an empty object. */
  readonly step: JsonObject
  /** Of a `collect`. */
  readonly listed: readonly Listed[]
  /** Of a `collect`: looks only at what lies in the queue. */
  readonly only: boolean
  /** Of a `collect`, milliseconds. */
  readonly quietMs: number
}

/** Turns a scenario's steps into acts: completions belong to the drain or reap behind them, or else to one that isn't listed. */
export function actsOf(scenario: Scenario): Act[] {
  const acts: Act[] = []
  const { steps } = scenario
  for (let i = 0; i < steps.length; ) {
    const listed: Listed[] = []
    let at = i
    while (at < steps.length && (isObject(steps[at]!.cqe as Json | undefined) || isGap(steps[at]!))) {
      listed.push(isGap(steps[at]!) ? 'gap' : (steps[at]!.cqe as JsonObject))
      at++
    }
    const step = steps[at]
    const kind = step === undefined ? '' : kindOf(step)
    if (kind === 'drain' || kind === 'reap') {
      const quiet = /(\d+) ms/.exec(String(step!.do))
      // More are listed than this one has brought: the others came before, in rounds that no step tells of.
      const earlier = listed.includes('gap') ? 0 : listed.length - Number(step!.cqes ?? listed.length)
      if (earlier > 0) {
        acts.push({
          kind: 'collect',
          step: {},
          listed: listed.splice(0, earlier),
          only: false,
          quietMs: QUIET_MS,
        })
      }
      acts.push({
        kind: 'collect',
        step: step!,
        listed,
        only: kind === 'reap',
        quietMs: quiet === null ? QUIET_MS : Number(quiet[1]),
      })
      i = at + 1
    } else if (listed.length > 0 && kind === 'probe') {
      acts.push({ kind, step: step!, listed, only: false, quietMs: QUIET_MS })
      i = at + 1
    } else if (listed.length > 0) {
      acts.push({ kind: 'collect', step: {}, listed, only: false, quietMs: QUIET_MS })
      i = at
    } else {
      acts.push({ kind, step: step!, listed, only: false, quietMs: 0 })
      i = at + 1
    }
  }
  return acts
}

function isGap(step: JsonObject): boolean {
  return typeof step.note === 'string' && step.note.startsWith('further data CQEs')
}

/** What kind of step it is: the first key, or for a `do` what is done. */
export function kindOf(step: JsonObject): string {
  const done = step.do
  if (typeof done !== 'string') return Object.keys(step)[0] ?? ''
  if (done.startsWith('submit')) {
    if (done.includes('ASYNC_CANCEL')) return 'cancel'
    return 'submit'
  }
  if (done.startsWith('drain')) return 'drain'
  if (done.startsWith('reap')) return 'reap'
  if (done.startsWith('enter')) return 'enter'
  if (/^ring \d+ closed/.test(done)) return 'ring closed'
  if (done.startsWith('close(')) return done
  return done
}
