import { setTimeout } from 'node:timers/promises'
import { ArgumentError, NicError } from '../../errors.ts'
import { checkPort } from '../flows.ts'
import type { Rings } from '../netlink/index.ts'
import { ERRNO } from '../system.ts'
import { ruleCommand } from './rules.ts'
import { isDefault, queuesOf, spreadCommand, spreadOver, withoutQueue } from './spread.ts'
import { LinkSwitches, NTUPLE, type QueueSwitches } from './switches.ts'

/**
 * Sets a receive queue up for zero-copy receive in the kernel (Documentation/networking/iou-zcrx.rst), and undoes it: headers are
 * split off, receive-side scaling sends nothing to the queue, rules send it the ports that it is for.
 */

export interface QueueSetupOptions {
  /** Interface name. */
  readonly device: string
  /** Receive queue that is to be set up. */
  readonly queue: number
  /** TCP ports that are to come to it, over both versions of IP; default none: then only what RSS leaves. */
  readonly ports?: readonly number[]
  /** Path of the network namespace the interface is in; default the thread's. */
  readonly netns?: string
  /** Called after each step, also of the undoing. */
  readonly onStep?: (step: SetupStep) => void
  /** In the place of the interface's own, which are opened and closed otherwise: for tests. They are closed with `undo`. */
  readonly switches?: QueueSwitches
}

/**
 * `done`; `there`: it was so already; `not offered`: the driver has no such thing, and the queue may do without; `undone`;
 * `left`: undoing was refused, and `words` say why.
 */
export type StepOutcome = 'done' | 'there' | 'not offered' | 'undone' | 'left'

/** What was done about one setting. */
export interface SetupStep {
  /** `header/data split`, `RSS`, `ntuple`, `rule`. */
  readonly what: string
  /** What would do the same by hand; empty when there is nothing to be done. */
  readonly command: string
  /** What came of it. */
  readonly outcome: StepOutcome
  /** More of it, for people; may be empty. */
  readonly words: string
}

/** A queue that was set up. */
export interface QueueSetup {
  /** In the order they were taken. */
  readonly steps: readonly SetupStep[]
  /**
   * Puts everything back, the last step first, and returns what became of each. What is refused is `left`, and tried again by the next
   * call. While somebody has the queue the split stays on, and RSS off it: let go of it first. Does nothing when all is back.
   */
  undo(): SetupStep[]
  /**
   * The same, and what is refused is tried again until it is taken, for so long: a queue that was let go of is free some dozens of
   * milliseconds later.
   */
  undoWithin(timeoutMs: number): Promise<SetupStep[]>
  /** Nothing is left to undo. */
  readonly undone: boolean
}

/** How long until what was refused is tried again. */
const AGAIN_MS = 20

/** One change. */
interface Change {
  readonly what: string
  readonly command: string
  readonly work: () => void
}

/** How one is put back. */
interface Undo {
  readonly what: string
  readonly command: string
  /** What else was done instead, when others have changed it meanwhile. */
  readonly work: () => Partial<SetupStep> | undefined
}

/**
 * Sets the queue up. A setting that the driver does not offer is a step with that outcome; one that is refused throws, and what was done
 * until then is undone. Synchronous. The settings are the interface's, not the process's: they stay if it is killed.
 * @throws ArgumentError, NicError
 */
export function applyQueueSetup(options: QueueSetupOptions): QueueSetup {
  const { device, queue, netns, ports = [] } = options
  for (const port of ports) checkPort(port)
  const switches = options.switches ?? LinkSwitches.open(device, netns)
  const setup = new AppliedSetup(options, switches)
  try {
    if (!Number.isInteger(queue) || queue < 0 || queue >= switches.queues)
      throw new ArgumentError(
        `${device} has ${switches.queues} receive queues, and none of number ${queue}`,
        `ethtool -L ${device} combined ${queue + 1}`,
      )
    setup.split()
    setup.takeOffSpread()
    if (ports.length > 0) setup.allowRules()
    for (const port of new Set(ports)) for (const flow of ['tcp4', 'tcp6'] as const) setup.addRule(flow, port)
    return setup
  } catch (error) {
    const left = setup.undo().filter(({ outcome }) => outcome === 'left')
    switches.close()
    if (left.length === 0 || !(error instanceof NicError)) throw error
    const { code, message, errno } = error
    throw new NicError(code, message, `and then: ${left.map(({ command }) => command).join('; ')}`, errno)
  }
}

class AppliedSetup implements QueueSetup {
  readonly steps: SetupStep[] = []
  readonly #device: string
  readonly #queue: number
  readonly #switches: QueueSwitches
  readonly #onStep: (step: SetupStep) => void
  #undos: Undo[] = []

  constructor({ device, queue, onStep = () => {} }: QueueSetupOptions, switches: QueueSwitches) {
    this.#device = device
    this.#queue = queue
    this.#switches = switches
    this.#onStep = onStep
  }

  get undone(): boolean {
    return this.#undos.length === 0
  }

  /** Also when it is on: what a driver does by itself is not enough for the kernel, somebody has to have asked for it. */
  split(): void {
    const what = 'header/data split'
    const before = this.#switches.rings()
    if (before === null) {
      this.#step(what, '', 'not offered', 'the driver tells nothing of its rings')
      return
    }
    const command = (state: string): string => `ethtool -G ${this.#device} tcp-data-split ${state}`
    const change = { what, command: command('on'), work: () => this.#switches.setDataSplit('on') }
    const to = before.dataSplit === 'off' ? 'off' : 'auto'
    const back = simply(what, command(to), () => this.#switches.setDataSplit(to))
    const there = before.dataSplit === 'on'
    if (this.#attempt(change, there ? null : () => back)) this.#splitAll(before)
  }

  /** The kernel wants every packet split. */
  #splitAll({ splitThreshold: bytes }: Rings): void {
    if (bytes === null || bytes === 0) return
    const what = 'hds-thresh'
    const command = (threshold: number): string => `ethtool -G ${this.#device} hds-thresh ${threshold}`
    this.#attempt({ what, command: command(0), work: () => this.#switches.setSplitThreshold(0) }, () =>
      simply(what, command(bytes), () => this.#switches.setSplitThreshold(bytes)),
    )
  }

  takeOffSpread(): void {
    const what = 'RSS'
    const device = this.#device
    const queue = this.#queue
    const before = this.#switches.indirection()
    if (before === null) {
      this.#step(what, '', 'not offered', 'the driver has no table of RSS')
      return
    }
    if (!before.includes(queue)) {
      this.#step(what, '', 'there', `it sends nothing to queue ${queue}`)
      return
    }
    const table = withoutQueue(before, queue)
    if (table === null) {
      const { queues } = this.#switches
      throw new NicError(
        'ZCRX_NIC_UNSUPPORTED',
        `RSS of ${device} sends to queue ${queue} only: without it nothing would come in`,
        queues > 1 ? `ethtool -X ${device} equal ${queues}` : `ethtool -L ${device} combined 2`,
      )
    }
    const command = spreadCommand(device, queuesOf(table))
    const own = isDefault(before, this.#switches.queues)
    const back = own ? `ethtool -X ${device} default` : spreadCommand(device, queuesOf(before))
    this.#attempt({ what, command, work: () => this.#switches.setIndirection(table) }, () => ({
      what,
      command: back,
      work: () => this.#spreadBack(before, table, own),
    }))
  }

  /** If another queue was taken off meanwhile, it stays so: only ours comes back. */
  #spreadBack(
    before: readonly number[],
    ours: readonly number[],
    own: boolean,
  ): Partial<SetupStep> | undefined {
    const holder = this.#switches.holder(this.#queue)
    if (holder !== null && holder !== 'af_xdp')
      throw new NicError(
        'ZCRX_NIC_BUSY',
        `queue ${this.#queue} is still had by ${holder}: connections would break`,
      )
    const now = this.#switches.indirection()
    if (now === null || (now.length === ours.length && now.every((queue, i) => queue === ours[i]))) {
      this.#switches.setIndirection(own ? [] : before)
      return undefined
    }
    const queues = queuesOf([...now, this.#queue])
    this.#switches.setIndirection(spreadOver(now.length, queues))
    return { command: spreadCommand(this.#device, queues), words: 'it was changed by others meanwhile' }
  }

  allowRules(): void {
    const what = 'ntuple'
    const offloads = this.#switches.offloads()
    if (offloads === null || offloads.active.has(NTUPLE)) return
    if (!offloads.switchable.has(NTUPLE)) {
      this.#step(what, '', 'not offered', 'the driver can’t switch it on')
      return
    }
    const command = (state: string): string => `ethtool -K ${this.#device} ntuple ${state}`
    const change = { what, command: command('on'), work: () => this.#switches.setOffload(NTUPLE, true) }
    this.#attempt(change, () => ({ what, command: command('off'), work: () => this.#forbidRules() }))
  }

  /** Switching it off would take the rules of others too. */
  #forbidRules(): Partial<SetupStep> | undefined {
    const others = this.#switches.rules()?.length ?? 0
    if (others > 0) return { words: `it stays on, for ${others} rules of others` }
    this.#switches.setOffload(NTUPLE, false)
    return undefined
  }

  addRule(flow: 'tcp4' | 'tcp6', port: number): void {
    const what = 'rule'
    const rule = { flow, port, queue: this.#queue }
    let location = -1
    const insert = (): void => {
      location = this.#switches.insertRule(rule)
    }
    this.#attempt({ what, command: ruleCommand(this.#device, rule), work: insert }, () =>
      simply(what, `ethtool -N ${this.#device} delete ${location}`, () =>
        this.#switches.removeRule(location),
      ),
    )
  }

  undo(): SetupStep[] {
    const steps = this.#putBack()
    for (const step of steps) this.#onStep(step)
    return steps
  }

  async undoWithin(timeoutMs: number): Promise<SetupStep[]> {
    const until = performance.now() + timeoutMs
    const steps: SetupStep[] = []
    for (;;) {
      const now = this.#putBack()
      const last = this.undone || performance.now() >= until
      for (const step of now) {
        if (step.outcome === 'left' && !last) continue
        steps.push(step)
        this.#onStep(step)
      }
      if (last) return steps
      await setTimeout(AGAIN_MS)
    }
  }

  #putBack(): SetupStep[] {
    const steps: SetupStep[] = []
    const left: Undo[] = []
    for (const undo of [...this.#undos].reverse()) {
      const step = putBack(undo)
      if (step.outcome === 'left') left.unshift(undo)
      steps.push(step)
    }
    this.#undos = left
    if (this.undone) this.#switches.close()
    return steps
  }

  /**
   * False when the driver does not offer it. What undoes it is known before anybody is told, who might throw.
   * @param back null: it was so already
   * @throws NicError when the driver refuses
   */
  #attempt({ what, command, work }: Change, back: (() => Undo) | null): boolean {
    try {
      work()
    } catch (error) {
      if (!(error instanceof NicError) || error.code !== 'ZCRX_NIC_UNSUPPORTED') throw error
      this.#step(what, command, 'not offered', wordsOf(error))
      return false
    }
    if (back !== null) this.#undos.push(back())
    this.#step(what, command, back === null ? 'there' : 'done', '')
    return true
  }

  #step(what: string, command: string, outcome: StepOutcome, words: string): void {
    const step = { what, command, outcome, words }
    this.steps.push(step)
    this.#onStep(step)
  }
}

/** Nothing that others did meanwhile is to be heeded. */
function simply(what: string, command: string, work: () => void): Undo {
  const alone = (): undefined => {
    work()
    return undefined
  }
  return { what, command, work: alone }
}

function putBack({ what, command, work }: Undo): SetupStep {
  const undone: SetupStep = { what, command, outcome: 'undone', words: '' }
  try {
    return { ...undone, ...work() }
  } catch (error) {
    // What went with the interface, or was taken away by somebody, needs no undoing.
    if (error instanceof NicError && (error.code === 'ZCRX_NIC_NO_DEVICE' || error.errno === ERRNO.ENOENT))
      return { ...undone, words: 'it is gone already' }
    return { ...undone, outcome: 'left', words: wordsOf(error as Error) }
  }
}

/** Its message, without the remedy that it ends with. */
function wordsOf(error: Error): string {
  const tail = error instanceof NicError && error.remedy !== '' ? `: ${error.remedy}` : ''
  return error.message.slice(0, error.message.length - tail.length)
}
