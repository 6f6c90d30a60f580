import type { IpAddress } from '../../address.ts'
import type { Neighbour } from '../ip/neighbours.ts'
import type { AckScheduler } from './acks.ts'
import type { TcpContext } from './context.ts'
import type { FlowTable } from './flows.ts'
import { EHOSTUNREACH, ESTABLISHED, SYN_RECEIVED, SYN_SENT } from './state.ts'
import { type TcbTimers, TIMER_RETRANSMIT } from './tcb-timers.ts'
import type { Transmitter, TransmitterOwner } from './transmitter.ts'

/** What neighbours' changes mean to connections; see `followNeighbours`. */
interface NextHopOwner extends TransmitterOwner {
  readonly acks: AckScheduler
  readonly timers: TcbTimers
}

/** Tells the link whose neighbours are in use, and connections of neighbours that are lost, found or have moved. */
export function followNeighbours(
  owner: NextHopOwner,
  context: TcpContext,
  flows: FlowTable,
  transmitter: Transmitter,
): void {
  const { link } = context
  link.livePeers = () => peers(flows)
  link.onUnreachable = (neighbour) => lost(owner, context, flows, neighbour)
  link.onResolved = (neighbour, now) => retry(owner, context, flows, transmitter, neighbour, now)
}

/** Of connections, not of attempts: those anybody can make. */
function* peers(flows: FlowTable): Iterable<IpAddress> {
  for (const tcb of flows) if (tcb.state >= ESTABLISHED) yield tcb.remote
}

/** A next hop does not answer: attempts to connect through it end, connections may still find another way. */
function lost(owner: NextHopOwner, { link }: TcpContext, flows: FlowTable, neighbour: Neighbour): void {
  for (const tcb of [...flows]) {
    if (!link.asks(tcb.local) || link.nextHop(tcb.remote)?.equals(neighbour.address) !== true) continue
    if (tcb.state === SYN_SENT) owner.end(tcb, EHOSTUNREACH)
    // The old hardware address serves on: perhaps it is only the answers that get lost.
    else tcb.softError = EHOSTUNREACH
  }
}

/** A neighbour's hardware address is known, or another than before: what waited for it, or went astray, leaves now. */
function retry(
  owner: NextHopOwner,
  { link }: TcpContext,
  flows: FlowTable,
  transmitter: Transmitter,
  neighbour: Neighbour,
  now: number,
): void {
  for (const tcb of flows) {
    if (!link.asks(tcb.local) || link.nextHop(tcb.remote)?.equals(neighbour.address) !== true) continue
    // At the host's address a peer that is heard is answered where its frames come from.
    const heard = tcb.remoteMacHigh >= 0 && tcb.state !== SYN_SENT && tcb.snd.retries === 0
    if (heard && !link.isOwn(tcb.local)) continue
    const { macHigh, macLow } = neighbour
    if (tcb.remoteMacHigh === macHigh && tcb.remoteMacLow === macLow) continue
    tcb.remoteMacHigh = macHigh
    tcb.remoteMacLow = macLow
    if (tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED) transmitter.resendSyn(tcb, now)
    else if (tcb.retransmitTimer !== null) owner.timers.arm(tcb, TIMER_RETRANSMIT, 0)
    else owner.acks.soon(tcb)
  }
}
