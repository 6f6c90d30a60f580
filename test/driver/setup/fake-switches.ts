import type { Offloads, QueueHolder, Rings } from '../../../driver/netlink/index.ts'
import { type FlowRule, NTUPLE, type PortRule, type QueueSwitches } from '../../../driver/setup/index.ts'
import { NicError } from '../../../errors.ts'

export interface Interface {
  queues: number
  rings: Rings | null
  table: number[] | null
  ntuple: 'on' | 'off' | 'fixed'
  rules: FlowRule[]
}

/** An interface in memory that writes down what is done to it, and refuses what it is told to. */
export class FakeSwitches implements QueueSwitches {
  readonly done: string[] = []
  /** What throws, by how its line in `done` begins, and with what. */
  readonly refuse = new Map<string, NicError>()
  closed = 0
  /** Who has every queue. */
  held: QueueHolder | null = null
  readonly #of: Interface
  #next = 1000

  constructor(of: Partial<Interface> = {}) {
    const rings = { dataSplit: 'off', splitThreshold: 256, bufferBytes: null } as const
    this.#of = { queues: 4, rings, table: [0, 1, 2, 3, 0, 1, 2, 3], ntuple: 'off', rules: [], ...of }
  }

  /** What can be set, as it is now. */
  get state(): string {
    const { rings, table, ntuple, rules } = this.#of
    return JSON.stringify({ rings, table, ntuple, rules })
  }

  get queues(): number {
    return this.#of.queues
  }

  holder(): QueueHolder | null {
    return this.held
  }

  rings(): Rings | null {
    return this.#of.rings
  }

  setDataSplit(split: 'on' | 'off' | 'auto'): void {
    this.#do(`split ${split}`)
    this.#of.rings = { ...this.#of.rings!, dataSplit: split === 'auto' ? 'none' : split }
  }

  setSplitThreshold(bytes: number): void {
    this.#do(`threshold ${bytes}`)
    this.#of.rings = { ...this.#of.rings!, splitThreshold: bytes }
  }

  indirection(): readonly number[] | null {
    return this.#of.table
  }

  setIndirection(table: readonly number[]): void {
    this.#do(`table ${table.join('')}`)
    const { queues } = this.#of
    this.#of.table = table.length === 0 ? this.#of.table!.map((_, i) => i % queues) : [...table]
  }

  offloads(): Offloads {
    const { ntuple } = this.#of
    return {
      active: new Set(ntuple === 'on' ? [NTUPLE] : []),
      switchable: new Set(ntuple === 'fixed' ? [] : [NTUPLE]),
    }
  }

  setOffload(_name: string, on: boolean): void {
    this.#do(`ntuple ${on ? 'on' : 'off'}`)
    this.#of.ntuple = on ? 'on' : 'off'
  }

  rules(): readonly FlowRule[] {
    return this.#of.rules
  }

  insertRule({ flow, port, queue }: PortRule): number {
    this.#do(`rule ${flow} ${port} ${queue}`)
    const location = this.#next++
    this.#of.rules.push({ location, flow, port, narrower: false, queue })
    return location
  }

  removeRule(location: number): void {
    this.#do(`remove ${location}`)
    const { rules } = this.#of
    const at = rules.findIndex((rule) => rule.location === location)
    if (at < 0) throw new NicError('ZCRX_NIC_SYSTEM', 'no such rule', '', 2)
    rules.splice(at, 1)
  }

  close(): void {
    this.closed++
  }

  #do(what: string): void {
    for (const [begins, error] of this.refuse) if (what.startsWith(begins)) throw error
    this.done.push(what)
  }
}
