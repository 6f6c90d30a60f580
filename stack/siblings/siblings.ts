import type { SharedPorts } from './shared-ports.ts'

/**
 * The stacks on the other queues of the same interface, each in a thread of its own with the same addresses. Which queue a frame
 * comes in on is the device's choice; see `Stack.siblings`.
 */
export interface Siblings {
  /**
   * Every sibling is to `Stack.hear` this. Must not throw.
   * @param frame a copy, from the Ethernet header on, the callee's to keep
   */
  tell(frame: Uint8Array): void
  /** The ports that connections begin from. */
  readonly ports: SharedPorts
  /** There is news in `ports` for the stack of this index: its thread is to call `poll` soon. Must not throw. */
  wake(index: number): void
}
