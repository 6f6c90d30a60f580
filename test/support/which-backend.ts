import type { InlineBackend, InlineKernel } from '../../uapi/backend/inline.ts'
import type { RingContext } from '../../uapi/kernel/context.ts'
import type { RingBackend } from '../../uapi/ring/backend.ts'
import { WorkerLoopback } from './worker-loopback.ts'

type Kind = 'inline' | 'worker'

/** What the rings of kernels are made on that tests adapt from now on. */
let kind: Kind = 'inline'
const contexts = new WeakMap<RingBackend, () => RingContext>()
/** Other sides of rings that were made as workers' are. */
let made = 0

export function kernelsOn(wanted: Kind): void {
  kind = wanted
}

export function workerRings(): number {
  return made
}

/** The kernel, its rings made on what `kernelsOn` says. Memory and descriptors are those of the test's one process either way. */
export function adapt<K extends InlineKernel>(kernel: K): K {
  if (kind === 'inline') return kernel
  const loopback = new WorkerLoopback(kernel, kernel.process)
  kernel.ringBackend = () => {
    made++
    const { backend, session } = loopback.backend(0, kernel.space)
    contexts.set(backend, () => session.context!)
    // What an inline one has besides is asked of `contextOf`.
    return backend as RingBackend as InlineBackend
  }
  return kernel
}

/** The kernel's side of a ring. */
export function contextOf(backend: RingBackend): RingContext {
  return contexts.get(backend)?.() ?? (backend as InlineBackend).context
}
