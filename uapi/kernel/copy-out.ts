import { copyBytes } from '../../copies.ts'
import type { Stack } from '../../stack/stack.ts'
import { CLOSED } from '../../stack/tcp/state.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import { IORING_CQE_F_SOCK_NONEMPTY } from '../abi/io-uring.ts'
import { MSG_PEEK, MSG_TRUNC } from '../abi/socket.ts'
import type { Socket } from './socket.ts'

/**
 * Data in an area is for RECV_ZC alone: the kernel's CPU can't be counted on to see it, and Linux answers recv(2) with EFAULT
 * (docs/conformance.md, V13).
 */
export function unreadable(stack: Stack, tcb: Tcb): boolean {
  const { fragments, memory } = stack
  return memory.pools[fragments.pool[tcb.rcv.head]!]!.owner !== null
}

/** Copies and frees what is queued. @param flags with MSG_TRUNC it only frees, with MSG_PEEK it only copies. Returns the bytes. */
export function copyOut(socket: Socket, stack: Stack, tcb: Tcb, into: Uint8Array, flags: number): number {
  if (socket.untilUrgent() === 0) stepOverUrgent(stack, tcb)
  const most = socket.untilUrgent()
  const bytes = most < into.length ? into.subarray(0, most) : into
  return (flags & MSG_PEEK) !== 0
    ? peek(stack, tcb, bytes)
    : take(stack, tcb, bytes, (flags & MSG_TRUNC) !== 0)
}

/** An urgent byte that is not in line is none of what is read (SO_OOBINLINE off). */
function stepOverUrgent(stack: Stack, tcb: Tcb): void {
  const { rcv } = tcb
  const before = stack.fragments.niovs
  rcv.head = stack.fragments.dropFront(rcv.head, 1)
  rcv.niovs -= before - stack.fragments.niovs
  if (rcv.head < 0) rcv.tail = -1
  rcv.queuedBytes--
}

/** The stream has ended and is read. */
export function atEnd(socket: Socket, tcb: Tcb): boolean {
  return tcb.rcv.head < 0 && (tcb.rcv.finished || socket.readShut || tcb.state === CLOSED)
}

/** What a receive answers then: the connection's error once. After a FIN that error is for who writes. */
export function endResult(socket: Socket, tcb: Tcb): number {
  return tcb.rcv.finished ? 0 : -socket.takeError()
}

/** Flags of a completion that data or the end is left behind: Linux counts a FIN as something to be read, always. */
export function moreToRead(tcb: Tcb): number {
  return tcb.rcv.queuedBytes > 0 || tcb.rcv.finished ? IORING_CQE_F_SOCK_NONEMPTY : 0
}

function peek(stack: Stack, tcb: Tcb, into: Uint8Array): number {
  const { fragments, memory } = stack
  let done = 0
  for (let node = tcb.rcv.head; node >= 0 && done < into.length; node = fragments.next[node]!) {
    const pool = memory.pools[fragments.pool[node]!]!
    if (pool.owner !== null) break
    const bytes = Math.min(fragments.length[node]!, into.length - done)
    const offset = fragments.offset[node]!
    copyBytes(into, done, pool.bytes, offset, bytes)
    done += bytes
  }
  return done
}

function take(stack: Stack, tcb: Tcb, into: Uint8Array, discards: boolean): number {
  const { fragments, memory } = stack
  const { rcv } = tcb
  const before = fragments.niovs
  let done = 0
  while (rcv.head >= 0 && done < into.length) {
    const node = rcv.head
    const pool = memory.pools[fragments.pool[node]!]!
    if (pool.owner !== null) break
    const bytes = Math.min(fragments.length[node]!, into.length - done)
    if (!discards) {
      const offset = fragments.offset[node]!
      copyBytes(into, done, pool.bytes, offset, bytes)
    }
    rcv.head = fragments.dropFront(node, bytes)
    done += bytes
  }
  if (rcv.head < 0) rcv.tail = -1
  rcv.queuedBytes -= done
  rcv.niovs -= before - fragments.niovs
  // Buffers came free: a window that was small for want of them opens.
  if (done > 0) stack.kick()
  return done
}
