import { IpAddress } from '../../address.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { type Route, SocketCalls, type UserSpace } from './calls.ts'
import { NoTranslation } from './no-translation.ts'

const LOOPBACK = { lo: IpAddress.parse('127.0.0.1')!, lo6: IpAddress.parse('::1')! }
/** Ports of listeners: below those that Linux chooses for port 0. */
const FIRST_PORT = 10_000
const PORTS = 20_000
/** The record's quiet times are those of a recorder that was in no hurry: so much less is waited, but where time itself is asked about. */
const HASTE = 8
/** How long (milliseconds) a completion is waited for that is expected, and that a kernel with another answer does not have. */
const LONGEST_WAIT_MS = 1000

/** What is stood in for on a kernel of ours, or needs a process's map of memory to be known. */
const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/_beyond_mapping$/, 'what lies behind a mapping'],
  [/^add_area\.unmapped$/, 'an address at which surely nothing lies'],
  [/_is_file_mapping$/, 'a file that is mapped'],
  [/\barg_bad$/, 'a pointer to nothing in the place of a structure'],
]

/** Why a scenario is not played on Linux; null: it is tried. */
export function elsewhere(name: string): string | null {
  return ELSEWHERE.find(([pattern]) => pattern.test(name))?.[1] ?? null
}

let next = Math.floor(Math.random() * PORTS)

/** The kernel that this process runs on, its loopback interface, and real time: what of the record needs no other is played on it. */
export class LinuxMachine extends SocketCalls {
  readonly host: RingHost
  readonly calls: Ring
  readonly space: UserSpace
  readonly longestWaitMs = LONGEST_WAIT_MS
  readonly clock = {
    now: (): number => performance.now() * 1000 * this.#haste,
    advanceTo: (us: number): void => {
      const ms = us / 1000 / this.#haste - performance.now()
      if (ms > 0) Atomics.wait(this.#nap, 0, 0, ms)
    },
  }
  readonly #haste: number
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))
  /** What addresses of the host's are asked of, and memory of its own comes from. */
  readonly #backend: ReturnType<RingHost['ringBackend']>

  /** @param name of the scenario */
  constructor(host: RingHost, name: string) {
    super()
    this.host = host
    this.#haste = /timeout/.test(name) ? 1 : HASTE
    const backend = host.ringBackend()
    this.#backend = backend
    this.calls = Ring.queueInit(8, { ringBackend: () => backend })
    this.space = backend
  }

  next(): number {
    return this.clock.now() + 1000
  }

  /** Loopback passes everything on while it is sent. */
  settle(): void {}

  map(bytes: number, huge: boolean): Uint8Array {
    if (huge) throw new NoTranslation('memory that is made of huge pages')
    return this.#backend.allocate(bytes)
  }

  connecting(): never {
    throw new NoTranslation('a peer that does not answer')
  }

  release(): void {
    this.calls.queueExit()
  }

  protected override addressOf(route: Route): IpAddress {
    if (route === 'dev' || route === 'dev6') throw new NoTranslation("the recorder's own device")
    return LOOPBACK[route]
  }

  protected override freePort(): number {
    return FIRST_PORT + (next++ % PORTS)
  }
}
