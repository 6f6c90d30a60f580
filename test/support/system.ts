import type { HostOptions } from '../../host/options.ts'
import * as opening from '../../net/open.ts'
import type * as server from '../../net/server.ts'
import type { System } from '../../net/system.ts'
import { Host } from '../../uapi/backend/host.ts'
import { Process } from '../../uapi/kernel/process.ts'
import type { RingBackend } from '../../uapi/ring/backend.ts'
import * as client from './client.ts'
import { RecordingBackend, WasmMemory } from './recording-backend.ts'
import { WorkerLoopback } from './worker-loopback.ts'

/** Virtual: what is not touched takes none. */
const MEMORY_BYTES = 96 << 20

/** What servers and clients of the tests run on; null: what they choose themselves. */
let openSystem: ((options: HostOptions) => OtherSystem) | null = null

/** Servers and clients that are made from now on run on it. */
export function runOn(open: ((options: HostOptions) => OtherSystem) | null): void {
  openSystem = open
}

/** What `runOn` says, open; null: nothing. */
export function otherSystem(options: HostOptions): OtherSystem | null {
  return openSystem?.(options) ?? null
}

function on<T extends object>(options: T): T {
  return openSystem === null ? options : { ...options, system: openSystem }
}

export function createServer(options: server.ServerOptions): Promise<server.Server> {
  return opening.createServer(on(options))
}

export function connect(options: client.ConnectOptions): Promise<client.Client> {
  return client.connect(on(options))
}

/** A host whose rings have another kind of other side: all else is the host's. */
export class OtherSystem implements System {
  readonly host: Host
  readonly #backend: (host: Host) => RingBackend

  constructor(options: HostOptions, backend: (host: Host) => RingBackend) {
    this.host = Host.open(options)
    this.#backend = backend
  }

  /** One on `RecordingBackend`. */
  static recording(options: HostOptions): OtherSystem {
    return new OtherSystem(options, ({ kernel, nic }) => {
      const backend = new RecordingBackend(kernel, new WasmMemory(MEMORY_BYTES, nic.info.tailBytes))
      backend.interrupts = 7
      return backend
    })
  }

  /** One whose kernel is reached as if it were on another thread. */
  static worker(options: HostOptions): OtherSystem {
    const loopbacks: WorkerLoopback[] = []
    const system = new OtherSystem(options, ({ kernel, nic }) => {
      const loopback = new WorkerLoopback(kernel, new Process(kernel.files)).run()
      loopbacks.push(loopback)
      OtherSystem.workers++
      return loopback.backend(nic.info.tailBytes).backend
    })
    system.#end = () => {
      for (const loopback of loopbacks) loopback.end()
    }
    return system
  }
  /** Made so far. */
  static workers = 0
  #end: () => void = () => {}

  ringBackend(): RingBackend {
    return this.#backend(this.host)
  }
  get nic(): System['nic'] {
    return this.host.nic
  }
  get address(): System['address'] {
    return this.host.address
  }
  get addresses(): System['addresses'] {
    return this.host.addresses
  }
  get listenAddress(): System['listenAddress'] {
    return this.host.listenAddress
  }
  get pending(): boolean {
    return this.host.pending
  }
  get ready(): Promise<void> {
    return this.host.ready
  }
  get notes(): readonly string[] {
    return this.host.notes
  }
  get onGone(): System['onGone'] {
    return this.host.onGone
  }
  set onGone(report: System['onGone']) {
    this.host.onGone = report
  }
  get onAddresses(): System['onAddresses'] {
    return this.host.onAddresses
  }
  set onAddresses(report: System['onAddresses']) {
    this.host.onAddresses = report
  }
  report(): ReturnType<System['report']> {
    return this.host.report()
  }
  close(): void {
    this.#end()
    this.host.close()
  }
}
