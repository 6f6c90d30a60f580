import { IpAddress } from '../../../address.ts'
import { CLOSED, ESTABLISHED, SYN_RECEIVED, SYN_SENT } from '../../../stack/tcp/state.ts'
import * as errno from '../../abi/errno.ts'
import { IORING_OP_CONNECT } from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { nicErrno } from '../nic-errno.ts'
import type { RingPort } from '../port.ts'
import { SocketRequest } from '../request.ts'
import { readSockaddr } from '../sockaddr.ts'
import type { WaitQueue } from '../socket.ts'
import { Op } from './op.ts'
import { checkSockaddr, socketOf } from './operands.ts'
import { begin, reply } from './reply.ts'

export const connect: Op = new Op({ code: IORING_OP_CONNECT, prepare: checkSockaddr, start })

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket === null) return
  const sockaddr = readSockaddr(context.space, socket.family, sqe.addr, sqe.off)
  if (typeof sockaddr === 'number') {
    reply(context, sqe, sockaddr)
    return
  }
  const { kernel } = context
  if (socket.unanswered) {
    socket.refused = true
    reply(context, sqe, -(socket.takeError() || errno.ECONNABORTED))
    return
  }
  if ((socket.tcb !== null && !socket.refused) || socket.listener !== null) {
    const opening = socket.tcb?.state === SYN_SENT || socket.tcb?.state === SYN_RECEIVED
    reply(context, sqe, -(opening ? errno.EALREADY : socket.takeError() || errno.EISCONN))
    return
  }
  const stack = socket.stack ?? kernel.stackFor(IpAddress.any6) ?? kernel.stacks[0] ?? null
  const bound = socket.bound?.address
  const local = bound === undefined || bound.unspecified ? stack?.link.localFor(sockaddr.address) : bound
  const refused = socket.options.v6Only && sockaddr.address.version === 4
  if (refused || (local != null && local.version !== sockaddr.address.version)) {
    reply(context, sqe, -errno.ENETUNREACH)
    return
  }
  if (stack === null || local == null) {
    reply(context, sqe, -errno.EADDRNOTAVAIL)
    return
  }
  // RFC 9293 3.9.2.3: groups and broadcast are nobody to connect to.
  if (!stack.link.isUnicast(sockaddr.address) || stack.link.nextHop(sockaddr.address) === null) {
    reply(context, sqe, -errno.ENETUNREACH)
    return
  }
  const port = kernel.ports.portFor(socket, stack)
  const tcb = stack.tcp.connect(
    local,
    port,
    sockaddr.address,
    sockaddr.port,
    stack.clock.now(),
    socket.options,
  )
  if (tcb === null) {
    reply(context, sqe, -errno.EADDRNOTAVAIL)
    return
  }
  try {
    kernel.steerConnection(stack, tcb)
  } catch (error) {
    stack.tcp.abort(tcb)
    reply(context, sqe, nicErrno(kernel, error))
    return
  }
  socket.adopt(stack, tcb)
  begin(new ConnectRequest(context, sqe, socket), !socket.nonBlocking, -errno.EINPROGRESS)
}

class ConnectRequest extends SocketRequest {
  protected override get queue(): WaitQueue {
    return 'connectors'
  }

  override run(): void {
    const { tcb } = this.socket
    if (tcb === null) this.finish(-errno.EFAULT)
    else if (tcb.state === CLOSED) {
      this.socket.errorReported = true
      this.socket.refused = true
      this.finish(-(tcb.error || errno.ECONNRESET))
    } else if (tcb.state >= ESTABLISHED) this.finish(0)
  }
}
