import { errnoName } from '../uapi/abi/errno.ts'
import { type CallResult, Calls, wantedResult, wantedValues } from './calls.ts'
import type { Live } from './compare.ts'
import { type Position, ScriptError, UnsupportedError } from './errors.ts'
import { Expectations } from './expect.ts'
import { Failure } from './failure.ts'
import type { Family } from './family.ts'
import { Flows } from './flow.ts'
import { formatResult, formatSegment, formatTime } from './format.ts'
import { buildIcmp, buildInbound } from './inject.ts'
import { configOf, type Switch } from './lenient.ts'
import { stateNumber, stateText } from './names.ts'
import type { Call, CodeBlock, Packet, Script, ScriptEvent } from './script/ast.ts'
import type { Settings } from './settings.ts'
import { EndlessError, StackUnderTest } from './stack-under-test.ts'

export interface RunOptions {
  readonly lenient: ReadonlySet<Switch>
  /** Told of each event before it happens. */
  readonly onEvent?: (timeUs: number, event: ScriptEvent) => void
}

export type Outcome = 'pass' | 'pass-lenient' | 'fail' | 'skip'

export interface RunResult {
  readonly outcome: Outcome
  readonly position: Position | null
  /** Why it failed or was skipped. */
  readonly message: string
  /** Of a comparison that failed. */
  readonly expected: string
  readonly actual: string
  /** Switches that were needed. */
  readonly used: readonly Switch[]
  readonly notes: readonly string[]
}

/** TCP and IP headers of both families: what MSS 1460 in a script is added to. */
const SCRIPT_MSS = 1460
const LARGEST_FRAME = 65_535 + 14
/** How long what may come whenever is waited for, when nothing says until when: longer than any timer of TCP's. */
const FOREVER_US = 86_400_000_000

/** A call that has begun. */
interface Pending {
  readonly event: ScriptEvent
  readonly call: Call
  readonly startedUs: number
  /** When it must return. */
  readonly untilUs: number
  result: CallResult | null
  returnedUs: number
}

/** Runs one script over one family against a stack of its own. Never throws. */
export function runScript(
  script: Script,
  settings: Settings,
  family: Family,
  options: RunOptions,
): RunResult {
  const used = new Set<Switch>()
  const notes: string[] = [...settings.notes]
  const result = (outcome: Outcome, error?: unknown): RunResult => {
    const failure = error instanceof Failure ? error : null
    return {
      outcome,
      position: error instanceof ScriptError ? error.position : null,
      message: error === undefined ? '' : error instanceof Error ? error.message : String(error),
      expected: failure?.expected ?? '',
      actual: failure?.actual ?? '',
      used: [...used].sort(),
      notes,
    }
  }
  let run: Run | null = null
  try {
    const lenient = new Set([...options.lenient, ...settings.lenient])
    run = new Run(script, settings, family, { ...options, lenient }, used, notes)
    if (!run.served)
      return result('skip', new Error(`${family.name === 'ipv6' ? 'IPv6' : 'IPv4'} not served`))
    run.execute()
    return result(used.size > 0 ? 'pass-lenient' : 'pass')
  } catch (error) {
    if (error instanceof UnsupportedError) return result('skip', error)
    if (error instanceof ScriptError || error instanceof EndlessError) return result('fail', error)
    // Whatever a script makes the stack throw is a failure of the stack's, to be seen as such.
    const text =
      error instanceof Error
        ? (error.stack ?? error.message).split('\n').slice(0, 3).join(' ')
        : String(error)
    return result(
      'fail',
      new ScriptError(run?.position ?? { line: 1, column: 1 }, `the stack threw: ${text}`),
    )
  } finally {
    run?.close()
  }
}

class Run {
  readonly served: boolean
  /** Of the event that is under way. */
  position: Position = { line: 1, column: 1 }
  readonly #script: Script
  readonly #settings: Settings
  readonly #family: Family
  readonly #options: RunOptions
  readonly #used: Set<Switch>
  readonly #notes: string[]
  readonly #host: StackUnderTest
  readonly #flows = new Flows()
  readonly #calls: Calls
  readonly #expectations: Expectations
  #pending: Pending | null = null
  /** What relative times count from. */
  #baseUs = 0

  constructor(
    script: Script,
    settings: Settings,
    family: Family,
    options: RunOptions,
    used: Set<Switch>,
    notes: string[],
  ) {
    this.#script = script
    this.#settings = settings
    this.#family = family
    this.#options = options
    this.#used = used
    this.#notes = notes
    const { lenient } = options
    const config = { ...settings.tcp }
    for (const [name, change] of configOf(lenient)) {
      Object.assign(config, change)
      used.add(name)
    }
    const mtu = mtuFor(settings, family)
    this.#host = new StackUnderTest(family, mtu, lenient.has('oversize-in') ? LARGEST_FRAME : 0, config)
    this.#calls = new Calls(this.#host, this.#flows)
    this.#expectations = new Expectations(this.#host, this.#flows, settings, lenient, used)
    this.served = this.#host.servesFamily()
  }

  execute(): void {
    const { startUs } = this.#host
    this.#baseUs = startUs
    for (const [i, event] of this.#script.events.entries()) {
      this.position = event.at
      const { kind, from, to, until } = event.time
      const base = kind === 'absolute' ? startUs : this.#baseUs
      const target = kind === 'any' ? this.#host.clock.now() : base + from
      if (event.body.kind === 'tcp' && event.body.direction === 'out') {
        this.#options.onEvent?.(target - startUs, event)
        const last = kind === 'any' ? Number.POSITIVE_INFINITY : base + (to ?? from)
        const first = kind === 'any' ? Number.NEGATIVE_INFINITY : target
        const since = this.#sinceBase(target)
        const met = this.#expectations.meet(event.body, event, first, last, since, this.#nextTime(i))
        this.#baseUs = kind === 'any' || to !== null ? met.at : target
      } else {
        this.#advance(target)
        this.#options.onEvent?.(target - startUs, event)
        this.#perform(event, target, until === null ? null : base + until, i)
        this.#baseUs = target
      }
      this.#checkPending()
    }
    this.#finishPending()
    this.#noteLeftovers()
    this.#clear()
  }

  close(): void {
    this.#host.close()
  }

  /** When the script goes on behind what comes whenever: at its next absolute time, unless one counts from when that came. */
  #nextTime(at: number): number {
    const next = this.#script.events.slice(at + 1).find(({ time }) => time.kind !== 'any')
    const now = this.#host.clock.now()
    if (next?.time.kind !== 'absolute') return now + FOREVER_US
    return Math.max(now, this.#host.startUs + next.time.from)
  }

  /** The segment that is expected next, unless another is injected before. */
  #answer(at: number): Packet | null {
    const next = this.#script.events
      .slice(at + 1)
      .find(({ body }) => body.kind === 'tcp' || body.kind === 'icmp')
    return next?.body.kind === 'tcp' && next.body.direction === 'out' ? next.body : null
  }

  #sinceBase(target: number): number {
    return Math.max(0, target - this.#baseUs)
  }

  /** Lets time pass up to `target`, with an eye on a call that blocks. */
  #advance(target: number): void {
    this.#host.runTo(target)
    this.#checkPending()
  }

  #perform(event: ScriptEvent, target: number, until: number | null, at: number): void {
    const { body } = event
    switch (body.kind) {
      case 'tcp': {
        const context = this.#injectContext(this.#flows.forInbound(body, this.#answer(at)))
        this.#host.inject(buildInbound(body, event.at, context))
        break
      }
      case 'icmp': {
        const flow = this.#flows.all.at(-1)
        if (flow === undefined) throw new ScriptError(event.at, 'an ICMP error needs a connection')
        this.#host.inject(buildIcmp(body, this.#injectContext(flow)))
        break
      }
      case 'call':
        this.#finishPending()
        this.#call(event, body, target, until)
        break
      case 'code':
        this.#code(body)
        break
      case 'shell':
        break
    }
  }

  #injectContext(flow: Parameters<typeof buildIcmp>[1]['flow']): Parameters<typeof buildIcmp>[1] {
    return {
      family: this.#family,
      flow,
      settings: this.#settings,
      lenient: this.#options.lenient,
      used: this.#used,
      mtu: this.#host.mtu,
    }
  }

  #call(event: ScriptEvent, call: Call, target: number, until: number | null): void {
    const pending: Pending = {
      event,
      call,
      startedUs: target,
      untilUs: until ?? target,
      result: null,
      returnedUs: 0,
    }
    const giveUp = this.#calls.start(call, (result) => {
      pending.result = result
      pending.returnedUs = this.#host.clock.now()
    })
    if (pending.result !== null || until !== null) {
      this.#pending = pending
      this.#checkPending()
      return
    }
    giveUp()
    throw new Failure(event, event.text, `${call.name} blocks`)
  }

  /** Judges a call that has returned, or should have. */
  #checkPending(): void {
    const pending = this.#pending
    if (pending === null) return
    const { event, call, result, untilUs, startedUs } = pending
    const tolerance = this.#expectations.tolerance(untilUs - startedUs)
    if (result === null) {
      if (this.#host.clock.now() <= untilUs + tolerance) return
      throw new Failure(
        event,
        event.text,
        `${call.name} still blocks at ${this.#time(this.#host.clock.now())}`,
      )
    }
    this.#pending = null
    this.#judge(event, call, result)
    if (Math.abs(pending.returnedUs - untilUs) > tolerance) {
      const when = `return at ${this.#time(pending.returnedUs)}, not at ${this.#time(untilUs)}`
      throw new Failure(event, event.text, when)
    }
  }

  #judge(event: ScriptEvent, call: Call, result: CallResult): void {
    const wanted = wantedResult(call)
    const values = wantedValues(call)
    const isRcvbuf = call.name === 'getsockopt' && /\bSO_RCVBUF\b/.test(event.text)
    if (wanted !== null && wanted !== result.res && !(wanted === -1 && call.errno === '' && result.res < 0)) {
      throw new Failure(event, event.text, formatResult(result.res))
    }
    const flow = this.#flows.all.at(-1)
    if (isRcvbuf && flow !== undefined && values !== null) flow.scriptBuffer = values.value
    const got = result.values?.[0]
    if (values === null || got === undefined || result.res < 0 || values.value === got) return
    if (isRcvbuf && this.#options.lenient.has('skip-getsockopt-rcvbuf'))
      this.#used.add('skip-getsockopt-rcvbuf')
    else throw new Failure(event, event.text, `[${values.isErrno && got !== 0 ? errnoName(got) : got}]`)
  }

  /** Waits for a call that blocks, before another is made or the script ends. */
  #finishPending(): void {
    const pending = this.#pending
    if (pending === null) return
    const tolerance = this.#expectations.tolerance(pending.untilUs - pending.startedUs)
    this.#host.runTo(pending.untilUs + tolerance + 1, () => pending.result !== null)
    this.#checkPending()
  }

  /** Only assertions of the connection's state are understood. */
  #code(block: CodeBlock): void {
    const lines = block.text.split('\n').map((line) => line.trim())
    for (const line of lines.filter((each) => each !== '' && !each.startsWith('#'))) {
      const name = /^assert\s*\(?\s*tcpi_state\s*==\s*(\w+)/.exec(line)?.[1]
      const wanted = name === undefined ? null : stateNumber(name)
      const state = wanted === null ? null : this.#calls.state()
      if (wanted === null || state === null) {
        this.#notes.push(`${block.at.line}: code skipped: ${line}`)
      } else if (state !== wanted) {
        throw new Failure({ at: block.at }, `tcpi_state == ${name}`, stateText(state))
      }
    }
  }

  #noteLeftovers(): void {
    for (const live of this.#expectations.leftovers()) this.#notes.push(`left over: ${this.#describe(live)}`)
  }

  #describe(live: Live): string {
    const flow = this.#flows.forOutbound(live.segment)
    const segment = flow === null ? live.segment : flow.inScriptNumbers(live.segment)
    return `${this.#time(live.at)} ${formatSegment(segment, live.ip.tos)}`
  }

  #time(us: number): string {
    return formatTime(us - this.#host.startUs)
  }

  /** Ends what the script leaves open: the stack must survive that too. */
  #clear(): void {
    this.#calls.closeAll()
    this.#host.settle()
  }
}

/** The MTU: what the script says, and room for the MSS of 1460 that scripts count on. */
function mtuFor(settings: Settings, family: Family): number {
  if (settings.mtu !== null) return Math.min(65_535, Math.max(68, settings.mtu))
  return settings.familyGiven && settings.families.length === 1 ? 1500 : SCRIPT_MSS + family.headerBytes
}
