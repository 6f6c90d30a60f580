import { MessageChannel } from 'node:worker_threads'
import { WorkerBackend } from '../../uapi/backend/worker/backend.ts'
import { openDoor, WAKE } from '../../uapi/backend/worker/door.ts'
import { ServiceLoop } from '../../uapi/backend/worker/loop.ts'
import type { RingLink } from '../../uapi/backend/worker/messages.ts'
import { KernelService } from '../../uapi/backend/worker/service.ts'
import type { RingSession } from '../../uapi/backend/worker/session.ts'
import type { Waiting } from '../../uapi/backend/worker/waiting.ts'
import type { AddressSpace } from '../../uapi/kernel/address-space.ts'
import type { Kernel } from '../../uapi/kernel/kernel.ts'
import { Process } from '../../uapi/kernel/process.ts'

/**
 * Both sides of the worker back end on one thread: whatever crosses does so as it would between threads, and whoever waits for the other
 * side has it work meanwhile. So what a test does on it happens in one order, under whatever clock.
 */
export class WorkerLoopback {
  readonly service: KernelService
  readonly #kernel: Kernel
  readonly #waiting: Waiting
  #loop: ServiceLoop | null = null
  readonly process: Process

  constructor(kernel: Kernel, process = new Process()) {
    this.#kernel = kernel
    this.process = process
    this.service = new KernelService(kernel)
    this.#waiting = {
      wait: (door, word, value, timeoutMs) => {
        const busy = this.service.turn()
        if (busy || Atomics.load(door, word) !== value) return true
        // Only for completions is anything waited for.
        return word !== WAKE || this.#kernel.sleep(timeoutMs)
      },
    }
  }

  /** The service works by itself too, from the event loop. */
  run(): this {
    this.#loop = new ServiceLoop(this.service, { spinUs: 0 })
    this.#loop.start()
    return this
  }

  /** The other side of a ring more. @param space what both sides have anyway; absent: memory is told of, as between threads */
  backend(
    tailBytes = 0,
    space?: AddressSpace,
  ): { backend: WorkerBackend; session: RingSession; user: RingLink } {
    const calls = new MessageChannel()
    const events = new MessageChannel()
    const door = openDoor()
    const link = (at: 'port1' | 'port2'): RingLink => ({ door, calls: calls[at], events: events[at] })
    const session = this.service.add(link('port1'), this.process.files, space)
    this.#loop?.wake()
    const user = link('port2')
    const options = { tailBytes, waiting: this.#waiting, ...(space === undefined ? {} : { space }) }
    return { backend: new WorkerBackend(user, options), session, user }
  }

  end(): void {
    this.#loop?.stop()
    this.service.end()
  }
}
