import { createHash, type Hash } from 'node:crypto'
import { Sampler } from './content.ts'
import type { FlowResult, PassKind } from './protocol.ts'

/** One flow of a pass at the receiver. */
export class FlowMeter {
  bytes = 0
  readonly port: number
  readonly sampler: Sampler | undefined
  readonly #meter: PassMeter
  readonly #hash: Hash | undefined
  #digest: string | undefined
  #errno: number | undefined

  constructor(meter: PassMeter, port: number) {
    this.#meter = meter
    this.port = port
    if (meter.pass === 'verified') this.#hash = createHash('sha256')
    else this.sampler = new Sampler()
  }

  /** Takes the flow's next bytes, `[offset, offset + length)` of `bytes`; they are free afterwards. */
  data(bytes: Uint8Array, offset: number, length: number): void {
    if (this.#meter.bytes === 0) this.#meter.begin()
    this.#meter.bytes += length
    this.bytes += length
    if (this.#hash === undefined) this.sampler!.update(bytes, offset, length)
    else this.#hash.update(length === bytes.length ? bytes : bytes.subarray(offset, offset + length))
  }

  /** No more will come. @param errno 0: the peer's FIN */
  end(errno: number): void {
    if (this.#errno !== undefined) return
    this.#errno = errno
    this.#digest = this.#hash?.digest('hex')
    this.#meter.flowEnded()
  }

  result(): FlowResult {
    return {
      port: this.port,
      bytes: this.bytes,
      errno: this.#errno ?? 0,
      ...(this.#digest === undefined ? {} : { sha256: this.#digest }),
    }
  }
}

/**
 * Times one pass, the same way for whoever receives: the clock and the process's CPU time run from the first byte to the
 * end of the last stream.
 */
export class PassMeter {
  readonly pass: PassKind
  bytes = 0
  readonly flows: FlowMeter[] = []
  /** Resolves when every expected flow has ended. */
  readonly done: Promise<void>
  cpuSeconds = 0
  readonly #expected: number
  #ended = 0
  #startedAt = 0
  #endedAt = 0
  #cpuBefore: NodeJS.CpuUsage | undefined
  #resolve!: () => void

  constructor(pass: PassKind, expectedFlows: number) {
    this.pass = pass
    this.#expected = expectedFlows
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** @param port the sender's */
  open(port: number): FlowMeter {
    const flow = new FlowMeter(this, port)
    this.flows.push(flow)
    return flow
  }

  /** The first byte has arrived. */
  begin(): void {
    this.#cpuBefore = process.cpuUsage()
    this.#startedAt = performance.now()
  }

  flowEnded(): void {
    this.#ended += 1
    if (this.#ended < this.#expected) return
    this.#endedAt = performance.now()
    const { user, system } = process.cpuUsage(this.#cpuBefore)
    this.cpuSeconds = this.#cpuBefore === undefined ? 0 : (user + system) / 1e6
    this.#resolve()
  }

  /** So far, or of the whole pass once it is done. */
  get seconds(): number {
    if (this.#startedAt === 0) return 0
    return ((this.#endedAt === 0 ? performance.now() : this.#endedAt) - this.#startedAt) / 1000
  }
}
