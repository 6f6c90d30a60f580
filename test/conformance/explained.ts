import * as abi from '../../uapi/abi/index.ts'
import type { Act } from './acts.ts'
import { NoTranslation, type Play, type Request } from './play.ts'
import { type JsonObject, loadRecord, numberOf, ownRecord, type Scenario } from './record.ts'
import { FIRST_OTHER_UD } from './test-ring.ts'

/**
 * Looks, in a scenario whose name no table has, for what its user must have done and no act has: then nothing is known of the
 * rest. A name of the checked-in record is played as it is: what comes otherwise there is a failure.
 */
export class Explained {
  readonly #play: Play
  /** Bytes that the record's completions have named, by request and by connection. */
  readonly #named = new Map<object, number>()

  constructor(play: Play) {
    this.#play = play
  }

  /** Before the act is done. @throws NoTranslation */
  check({ kind, step, listed }: Act): void {
    if (kind === 'collect' || kind === 'probe')
      for (const one of listed) if (one !== 'gap') this.#checkCompletion(one, kind === 'probe')
    if (kind === 'FLUSH_RQ') this.#checkTail(step.rq_tail)
    if (kind === 'rq') this.#checkTail(step.tail)
  }

  #checkCompletion(one: JsonObject, probe: boolean): void {
    const ud = numberOf(one, 'ud', FIRST_OTHER_UD)
    const { requests, done } = this.#play
    const request = requests.get(ud)
    if (ud >= NOP_UDS.first && ud <= NOP_UDS.last && !this.#play.marks.has('nops'))
      missing(`no step submits NOP ${ud}`)
    if (ud === 0 || ud >= FIRST_OTHER_UD || probe) return
    if (request === undefined) missing(`no step submits request ${ud}`)
    else if (one.niov !== undefined) this.#checkData(request, one)
    else if (numberOf(one, 'res', 0) === 0) this.#checkEnd(request)
    else if (one.res === -abi.ECONNRESET && request.connection.ended !== 'reset')
      missing(`no step resets what request ${ud} reads`)
    else if (
      one.res === -abi.ECANCELED &&
      !['cancel', 'SYNC_CANCEL', 'submit'].some((kind) => done.has(kind))
    )
      missing(`no step cancels request ${ud}`)
  }

  #checkData(request: Request, one: JsonObject): void {
    const { connection, handle } = request
    for (const key of [request, connection])
      this.#named.set(key, (this.#named.get(key) ?? 0) + numberOf(one, 'res', 0))
    const named = this.#named.get(connection)!
    if (named > connection.sent)
      missing(`no step sends what is received: ${named} bytes of ${connection.sent}`)
    const area = numberOf(one, 'area', 0)
    if (area >= (handle?.instance.areas.length ?? 1)) missing(`no step adds area ${area}`)
  }

  #checkEnd(request: Request): void {
    const { connection, limit } = request
    const reached = limit > 0 && (this.#named.get(request) ?? 0) >= limit
    if (connection.ended === 'no' && !connection.receiveShut && !reached && !this.#gaps())
      missing(`no step ends the stream of request ${request.ud}`)
  }

  /** Not every completion is listed: how much they named is not known. */
  #gaps(): boolean {
    return this.#play.scenario.steps.some(({ note }) => /^further data CQEs/.test(String(note)))
  }

  /** The queue's tail is the user's own. */
  #checkTail(recorded: JsonObject[string] | undefined): void {
    if (typeof recorded !== 'number') return
    const tail = this.#play.handles.get(this.#play.openRing)?.[0]?.instance.sharedTail ?? recorded
    if (tail !== recorded) missing(`no step puts entry ${tail} of ${recorded} into the refill queue`)
  }
}

/** user_data of the NOPs that fill a completion queue. */
const NOP_UDS = { first: 90, last: 99 }

function missing(what: string): never {
  throw new NoTranslation(what)
}

let words: Map<string, Set<string>> | null = null
let names: Set<string> | null = null

/** Whether the checked-in record has a scenario of this name. */
export function isRecorded({ name }: Scenario): boolean {
  names ??= new Set(loadRecord(ownRecord()).map((scenario) => scenario.name))
  return names.has(name)
}

/** Words of a name that no name of its group has in the checked-in record, numbers aside: what they mean is not known. */
export function unknownWords({ name }: Scenario): string[] {
  if (words === null) {
    words = new Map()
    for (const { name: known } of loadRecord(ownRecord())) {
      const [group = ''] = known.split('.')
      const set = words.get(group) ?? new Set()
      for (const word of wordsOf(known)) set.add(word)
      words.set(group, set)
    }
  }
  const known = words.get(name.split('.')[0]!) ?? new Set()
  return wordsOf(name).filter((word) => !known.has(word))
}

function wordsOf(name: string): string[] {
  return name
    .replace(/^[^.]*\./, '')
    .split('_')
    .filter((word) => !/^[a-z]*\d+([kmg](ib)?)?$/i.test(word))
}
