import type { IpAddress } from '../address.ts'
import type { NicError } from '../errors.ts'
import type { AddressesChange, StackReport } from '../host/interface.ts'
import type { NicView } from '../uapi/backend/worker/queue.ts'
import type { RingBackend } from '../uapi/ring/backend.ts'
import type { SocketCalls, System } from './system.ts'

/** A queue that several servers and clients use: each has a view of its own, and all are told what happens. */
export class SharedSystem {
  readonly #system: System
  readonly #views = new Set<SystemView>()
  #gone: NicError | null = null

  constructor(system: System) {
    this.#system = system
    system.onGone = (error) => {
      this.#gone = error
      for (const view of [...this.#views]) view.onGone(error)
    }
    system.onAddresses = (change) => {
      for (const view of [...this.#views]) view.onAddresses(change)
    }
  }

  view(): SystemView {
    const view = new SystemView(this.#system, () => this.#views.delete(view))
    this.#views.add(view)
    const gone = this.#gone
    // Whoever comes late hears of it too.
    if (gone !== null) setImmediate(() => view.onGone(gone))
    return view
  }
}

/** One user's. */
export class SystemView implements System {
  onGone: (error: NicError) => void = () => {}
  onAddresses: (change: AddressesChange) => void = () => {}
  /** It hears nothing any more. */
  readonly leave: () => void
  readonly #system: System

  constructor(system: System, leave: () => void) {
    this.#system = system
    this.leave = leave
  }

  get nic(): NicView {
    return this.#system.nic
  }
  get address(): IpAddress {
    return this.#system.address
  }
  get addresses(): readonly IpAddress[] {
    return this.#system.addresses
  }
  get listenAddress(): IpAddress {
    return this.#system.listenAddress
  }
  get pending(): boolean {
    return this.#system.pending
  }
  get ready(): Promise<void> {
    return this.#system.ready
  }
  get notes(): readonly string[] {
    return this.#system.notes
  }
  get sockets(): SocketCalls | undefined {
    return this.#system.sockets
  }
  report(): StackReport {
    return this.#system.report()
  }
  ringBackend(): RingBackend {
    return this.#system.ringBackend()
  }
}
