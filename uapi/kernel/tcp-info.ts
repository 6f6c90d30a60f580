import { CLOSED, stateName } from '../../stack/tcp/state.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import { seqDiff } from '../../stack/wire/seq.ts'
import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
  TCPI_OPT_SACK,
  TCPI_OPT_TIMESTAMPS,
  TCPI_OPT_WSCALE,
} from '../abi/tcp.ts'
import { TcpInfo } from '../abi/tcp-info.ts'
import type { Socket } from './socket.ts'

const linuxStates: Readonly<Record<string, number>> = {
  CLOSED: TCP_CLOSE,
  LISTEN: TCP_LISTEN,
  'SYN-SENT': TCP_SYN_SENT,
  'SYN-RECEIVED': TCP_SYN_RECV,
  ESTABLISHED: TCP_ESTABLISHED,
  'FIN-WAIT-1': TCP_FIN_WAIT1,
  'FIN-WAIT-2': TCP_FIN_WAIT2,
  'CLOSE-WAIT': TCP_CLOSE_WAIT,
  CLOSING: TCP_CLOSING,
  'LAST-ACK': TCP_LAST_ACK,
  'TIME-WAIT': TCP_TIME_WAIT,
}

/** `struct tcp_info` of a socket in any state. */
export function tcpInfo(socket: Socket): TcpInfo {
  const info = new TcpInfo()
  const { tcb, listener } = socket
  if (tcb !== null) fill(info, tcb, socket)
  else if (listener === null) info.set('state', TCP_CLOSE)
  else {
    info.set('state', TCP_LISTEN)
    // Of a listener Linux has what waits here, and the backlog.
    info.set('unacked', listener.ready.length)
    info.set('sacked', listener.backlog)
  }
  return info
}

function fill(info: TcpInfo, tcb: Tcb, socket: Socket): void {
  const { rcv, snd } = tcb
  const inFlight = tcb.state === CLOSED ? 0 : seqDiff(snd.nxt, snd.una)
  info.set('state', linuxStates[stateName(tcb.state)] ?? TCP_CLOSE)
  info.set('retransmits', Math.min(255, snd.retries))
  info.set('backoff', Math.min(255, snd.retries))
  info.set(
    'options',
    (tcb.timestamps ? TCPI_OPT_TIMESTAMPS : 0) |
      (tcb.sack ? TCPI_OPT_SACK : 0) |
      (tcb.windowScaling ? TCPI_OPT_WSCALE : 0),
  )
  info.setWscale(snd.shift, rcv.shift)
  info.set('rto', snd.rto)
  info.set('sndMss', snd.mss)
  info.set('rcvMss', snd.mss)
  info.set('unacked', Math.ceil(inFlight / snd.mss))
  info.set('rtt', snd.srtt)
  info.set('rttvar', snd.rttvar)
  info.set('sndSsthresh', Math.floor(snd.ssthresh / snd.mss))
  info.set('sndCwnd', Math.floor(snd.cwnd / snd.mss))
  info.set('notsentBytes', snd.buffered - inFlight)
  info.set('sndWnd', snd.wnd)
  info.set('rcvWnd', rcv.window())
  info.set('bytesAcked', seqDiff(snd.una, snd.iss) >>> 0)
  info.set('bytesReceived', Math.max(0, (seqDiff(rcv.nxt, rcv.irs) >>> 0) - 1))
  const { stack } = socket
  if (stack === null) return
  info.set('ato', stack.tcp.context.config.delayedAckUs)
  info.set('pmtu', stack.link.mtuOf(tcb.local.version))
  info.set('advmss', stack.link.mtuOf(tcb.local.version) - (tcb.local.version === 6 ? 60 : 40))
}
