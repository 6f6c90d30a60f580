import { actsOf } from './acts.ts'
import type { SocketCalls } from './calls.ts'
import { addAreaCase, ctrlCase, eventCase, importCase } from './cases-ctrl.ts'
import { queryCase } from './cases-query.ts'
import { recvZcCase } from './cases-recvzc.ts'
import { REGISTER_SEQUENCES, registerCase } from './cases-register.ts'
import { compareResult, isUndetermined } from './compare.ts'
import { derivedResult } from './derived.ts'
import { Explained, isRecorded, unknownWords } from './explained.ts'
import { intendedDifference } from './intended.ts'
import { elsewhere, LinuxMachine } from './linux-machine.ts'
import { open, registrationOf } from './opening.ts'
import { NoTranslation, Play, SetUpFailed } from './play.ts'
import type { Scenario } from './record.ts'
import { errnoOf } from './registration.ts'
import { type Hints, Stepper } from './steps.ts'
import { indexOf, translationOf } from './translations.ts'

export type Outcome = 'pass' | 'fail' | 'skip'

export interface Report {
  readonly name: string
  readonly outcome: Outcome
  /** Why it was skipped. */
  readonly reason: string
  /** What was expected and what came, one line each. */
  readonly differences: readonly string[]
  /** Keys of the result that were not compared, with why. */
  readonly notCompared: Readonly<Record<string, string>>
}

/** Plays a scenario on a machine of its own and compares. Never throws. */
export function runScenario(scenario: Scenario, machine?: SocketCalls): Report {
  const { name } = scenario
  const intended = intendedDifference(scenario)
  const report = (outcome: Outcome, reason = '', differences: readonly string[] = []): Report => ({
    ...{ name, outcome, reason, differences },
    notCompared: play?.notCompared ?? {},
  })
  let play: Play | null = null
  if (intended?.whole) return report('skip', intended.reason)
  const why = machine instanceof LinuxMachine ? elsewhere(name) : null
  if (why !== null) {
    machine?.release()
    return report('skip', `no translation: ${why}`)
  }
  try {
    play = new Play(scenario, machine)
    const undetermined = isUndetermined(scenario)
    perform(play, undetermined)
    for (const [key, value] of Object.entries(derivedResult(play))) play.result[key] ??= value
    const unknown = compareResult(play, undetermined, intended)
    play.sweep()
    const { differences } = play
    const words = differences.length === 0 || isTold(scenario) ? [] : unknownWords(scenario)
    if (words.length > 0)
      return report(
        'skip',
        `no translation of "${words.join('", "')}" in its name; by its steps: ${differences[0]}`,
      )
    if (differences.length > 0) return report('fail', '', differences)
    if (unknown.length > 0) return report('skip', `no translation of result.${unknown.join(', result.')}`)
    return report('pass')
  } catch (error) {
    if (error instanceof NoTranslation) {
      // What is not there may be missing because something went wrong before.
      const { differences = [] } = play ?? {}
      if (differences.length > 0 && isTold(scenario))
        return report('fail', '', [...differences, error.message])
      return report('skip', `no translation: ${error.message}`)
    }
    const { stack = String(error) } = error as Error
    const where = stack.split('\n').slice(0, 4).join(' | ')
    return report('fail', '', [...(play?.differences ?? []), `exception: ${where}`])
  } finally {
    play?.close()
  }
}

function perform(play: Play, undetermined: boolean): void {
  const { scenario } = play
  const { name } = scenario
  const group = name.split('.')[0]!
  for (const [pattern, run] of REGISTER_SEQUENCES) {
    const match = pattern.exec(name)
    if (match === null) continue
    run(play, match)
    return
  }
  switch (group) {
    case 'query':
      queryCase(play)
      return
    case 'register':
      registerCase(play)
      return
    case 'ctrl':
      ctrlCase(play)
      return
    case 'event_reg':
      eventCase(play)
      return
    case 'dev_reg':
      if (scenario.steps.length === 0) {
        registerCase(play, registrationOf(play))
        return
      }
      break
    case 'add_area':
      if (scenario.steps.length === 0) {
        addAreaCase(play)
        return
      }
      break
  }
  const translated = translationOf(scenario)
  const hints: Hints = translated?.translation.hints?.(translated.match) ?? {}
  const stepper = new Stepper(play, hints, undetermined)
  try {
    open(play, translated)
  } catch (error) {
    if (!(error instanceof SetUpFailed)) throw error
    play.result.setup_failed = 'zcrx'
    Object.assign(play.result, errnoOf('setup_ret', error.ret))
    return
  }
  if (group === 'recvzc_bad') {
    recvZcCase(play, stepper)
    return
  }
  walk(play, stepper, translated)
  if (group === 'import') importCase(play)
}

/** A table has the name, or the checked-in record: what it is about is known. */
function isTold(scenario: Scenario): boolean {
  const translated = translationOf(scenario)
  return isRecorded(scenario) || (translated !== null && translated.translation.general !== true)
}

/** Does the acts in order, and between them what only the table knows of. */
function walk(play: Play, stepper: Stepper, translated: ReturnType<typeof translationOf>): void {
  const acts = actsOf(play.scenario)
  const hidden = translated?.translation.hidden?.(translated.match, play.scenario) ?? []
  const placed = hidden.map(({ at, run }) => ({ at: indexOf(acts, at), run }))
  const explained = isTold(play.scenario) ? null : new Explained(play)
  if (placed.some(({ at }) => at < 0)) throw new NoTranslation('the steps of the record under this name')
  for (let i = 0; i <= acts.length; i++) {
    for (const { at, run } of placed) if (at === i) run(play)
    const act = acts[i]
    if (act === undefined) break
    const before = play.seen.length
    explained?.check(act)
    stepper.run(act)
    play.done.set(act.kind, (play.done.get(act.kind) ?? 0) + 1)
    const head = act.kind === 'rq' ? (play.handles.get(1)?.[0]?.instance.head ?? 0) : 0
    play.log.push({ kind: act.kind, seen: play.seen.slice(before), head })
  }
}
