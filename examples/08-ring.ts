/**
 * A receiver against the ring, in liburing's terms: accepts one connection and counts what it sends.
 *
 *     node dist/examples/08-ring.js xdp:eth0 9000        or over Linux's own rings: linux:eth0/5; and on another machine: cat FILE | nc ADDRESS 9000
 */
import { pathToFileURL } from 'node:url'
import * as zcrx from 'zcrx'
import { call } from './call.ts'

export function receive(host: zcrx.Host | zcrx.LinuxSystem, port: number): number {
  const ring = zcrx.Ring.queueInit(64, host, {
    flags: zcrx.IORING_SETUP_CQE32 | zcrx.IORING_SETUP_DEFER_TASKRUN | zcrx.IORING_SETUP_SINGLE_ISSUER,
    cqEntries: 8192,
  })
  const { ifIndex, queue, tailBytes } = host.nic.info
  const area = zcrx.allocateArea(64 << 20, tailBytes)
  const ifq = ring.registerIfq({ ifIdx: ifIndex, ifRxq: queue, rqEntries: 16_384, area })
  if (typeof ifq === 'number') throw new Error(`registerIfq: ${zcrx.errnoName(ifq)}`)

  const listener = call(ring, (sqe) => sqe.prepSocket(zcrx.AF_INET, zcrx.SOCK_STREAM, 0))
  const address = zcrx.SockaddrIn.of(host.address, port)
  call(ring, (sqe) => sqe.prepBind(listener, address))
  call(ring, (sqe) => sqe.prepListen(listener, 1))
  const connection = call(ring, (sqe) => sqe.prepAccept(listener))

  let bytes = 0
  ring.getSqe()!.prepRecvZc(connection, ifq.zcrxId)
  for (let open = true; open; ) {
    ring.submitAndWait(1)
    const count = ring.forEachCqe((cqe) => {
      if ((cqe.flags & zcrx.IORING_CQE_F_MORE) !== 0) {
        bytes += cqe.res // the data is area.subarray(cqe.offset, cqe.offset + cqe.res)
        ifq.rq.push(cqe.areaId, cqe.offset, cqe.res)
      } else if (cqe.res === -zcrx.ENOSPC) ring.getSqe()!.prepRecvZc(connection, ifq.zcrxId)
      else open = false // 0: the peer's FIN; else -errno
    })
    ifq.rq.advance()
    ring.cqAdvance(count)
  }
  call(ring, (sqe) => sqe.prepClose(connection))
  ring.queueExit()
  return bytes
}

const [, script = '', device, port] = process.argv
if (import.meta.url === pathToFileURL(script).href) {
  if (device === undefined)
    console.log('it needs an interface: the first lines of this file say how it is called')
  else {
    const host = zcrx.openRingHost({ device })
    console.log(`${receive(host, Number(port))} bytes`)
    host.close()
  }
}
