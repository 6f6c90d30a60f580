import { networkInterfaces } from 'node:os'
import { ArgumentError, ZcrxError } from '../driver/errors.ts'
import type { Nic } from '../driver/nic.ts'
import { type Clock, SystemClock } from '../stack/clock.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import type { TcpConfig } from '../stack/tcp/options.ts'
import { parseIpv4 } from '../stack/wire/ipv4.ts'
import {
  IORING_SETUP_CQE32,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
} from './abi/constants.ts'
import { errnoName } from './abi/errno.ts'
import { allocateArea, asNicMemory } from './area.ts'
import { openDevice } from './device.ts'
import { Kernel } from './kernel/kernel.ts'
import { type Ifq, Ring } from './ring/ring.ts'

/** Memory of a queue that has no area: enough for handshakes. */
const OWN_AREA_BYTES = 2 << 20
/** Of an engine that was not told. */
const DEFAULT_AREA_BYTES = 64 << 20
const DEFAULT_CQ_ENTRIES = 8192

export interface EngineOptions {
  /** `xdp:eth0`, `xdp:eth0/1`, `xdp:eth0?mode=native`, or an open NIC. The engine closes it. */
  readonly device: string | Nic
  /** Dotted IPv4; default the interface's first address. */
  readonly address?: string
  /** The address is the stack's alone: it answers and asks ARP for it. Default false: it is the host's. */
  readonly ownAddress?: boolean
  /** Bytes of the area received data lies in; default 64 MiB. */
  readonly areaBytes?: number
  /** Completion queue entries; default 8192. */
  readonly cqEntries?: number
  /** Refill queue entries; default one per buffer of the area, at most 32768. */
  readonly rqEntries?: number
  readonly clock?: Clock
  readonly tcp?: Partial<TcpConfig>
  /** Fragments taken from the NIC at a time. */
  readonly burst?: number
}

/** Takes one completion, read straight from ring memory. `kind` and `id` are the halves of its user_data. */
export type CompletionHandler = (kind: number, id: number, res: number, flags: number, offset: number) => void

/**
 * One NIC, one stack, one ring with one registered area, driven on Node's event loop: as fast as it can while there is
 * work, asleep on the NIC's descriptor while there is none. What `Server` and `Client` are made of.
 */
export class Engine {
  readonly nic: Nic
  readonly stack: Stack
  readonly kernel: Kernel
  readonly ring: Ring
  readonly ifq: Ifq
  readonly address: number
  readonly area: Uint8Array
  readonly #handler: CompletionHandler
  /** Buffers to give back that the refill queue had no room for. */
  readonly #stash: number[] = []
  #released = false
  #closed = false
  #scheduled = false
  #batchEnd: () => void = () => {}

  constructor(options: EngineOptions, handler: CompletionHandler) {
    this.#handler = handler
    this.nic = typeof options.device === 'string' ? openDevice(options.device) : options.device
    try {
      this.address = findAddress(this.nic, options.address)
      const memoryFor = (): ReturnType<typeof asNicMemory> =>
        asNicMemory(allocateArea(OWN_AREA_BYTES, this.nic.info.tailBytes))
      this.stack = new Stack({
        nic: this.nic,
        memory: memoryFor(),
        clock: options.clock ?? new SystemClock(),
        entropy: systemEntropy(),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
        ...(options.burst === undefined ? {} : { burst: options.burst }),
      })
      this.kernel = new Kernel({ memoryFor })
      this.kernel.addStack(this.stack)
      this.stack.addAddress(this.address, options.ownAddress ?? false)
      this.ring = Ring.queueInit(256, this.kernel, {
        flags: IORING_SETUP_CQE32 | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER,
        cqEntries: options.cqEntries ?? DEFAULT_CQ_ENTRIES,
      })
      this.area = allocateArea(options.areaBytes ?? DEFAULT_AREA_BYTES, this.nic.info.tailBytes)
      const ifq = this.ring.registerIfq({
        ifIdx: this.nic.info.ifIndex,
        ifRxq: this.nic.info.queue,
        rqEntries: options.rqEntries ?? Math.min(32_768, this.area.byteLength / 4096),
        area: this.area,
      })
      if (typeof ifq === 'number') throw registrationError(this.kernel, ifq)
      this.ifq = ifq
    } catch (error) {
      this.nic.close()
      throw error
    }
  }

  /** Called after each batch of completions. */
  onBatchEnd(callback: () => void): void {
    this.#batchEnd = callback
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Gives one completion's buffer back. */
  release(offset: number): void {
    if (!this.ifq.rq.push(this.ifq.areaId, offset, 0)) this.#stash.push(offset)
    this.#released = true
    this.wake()
  }

  /** Makes the loop go round soon: submission entries or buffers wait. */
  wake(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    this.kernel.arm(null)
    setImmediate(this.#turn)
  }

  /** Runs until everything submitted has been taken, without waiting: for set-up and tear-down. */
  turnNow(): void {
    this.ring.submitAndGetEvents()
    this.#reap()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.kernel.arm(null)
    this.ring.queueExit()
    this.nic.txFlush()
    this.nic.close()
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#closed) return
    this.#giveBack()
    this.ring.submitAndGetEvents()
    const count = this.#reap()
    if (this.#closed) return
    if (count > 0 || this.#released || this.ring.cqReady() > 0) {
      this.#scheduled = true
      setImmediate(this.#turn)
    } else this.kernel.arm(this.#turn)
  }

  #giveBack(): void {
    const { rq, areaId } = this.ifq
    while (this.#stash.length > 0 && rq.push(areaId, this.#stash[this.#stash.length - 1]!, 0))
      this.#stash.pop()
    if (this.#released) rq.advance()
    this.#released = this.#stash.length > 0
  }

  #reap(): number {
    const { cqes, cqEntries, cqeWords } = this.ring.memory
    const mask = cqEntries - 1
    const count = this.ring.cqReady()
    const head = this.ring.cqHead
    for (let i = 0; i < count; i++) {
      const at = ((head + i) & mask) * cqeWords
      this.#handler(cqes[at + 1]!, cqes[at]!, cqes[at + 2]!, cqes[at + 3]!, cqes[at + 4]! >>> 0)
    }
    if (count > 0) {
      this.ring.cqAdvance(count)
      this.#batchEnd()
    }
    return count
  }
}

function findAddress(nic: Nic, given: string | undefined): number {
  if (given !== undefined) {
    const address = parseIpv4(given)
    if (address === null)
      throw new ArgumentError(`"${given}" is not an IPv4 address`, 'write it as 192.0.2.1')
    return address
  }
  const entry = networkInterfaces()[nic.info.name]?.find((candidate) => candidate.family === 'IPv4')
  if (entry === undefined) {
    throw new ArgumentError(
      `interface ${nic.info.name} has no IPv4 address`,
      'give it one, or name an address of your own with ownAddress',
    )
  }
  return parseIpv4(entry.address)!
}

function registrationError(kernel: Kernel, result: number): Error {
  if (kernel.nicError !== null) return kernel.nicError
  return new ZcrxError('ZCRX_REGISTER', `the interface queue can't be registered: ${errnoName(result)}`)
}
