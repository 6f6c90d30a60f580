import { release } from 'node:os'
import { errnoName } from '../../uapi/abi/errno.ts'
import { IORING_SETUP_CQE32 } from '../../uapi/abi/io-uring.ts'
import { ZCRX_REG_NODEV } from '../../uapi/abi/zcrx.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { LinuxQueueWorld, LinuxWorld, nicQueue } from './linux-world.ts'
import type { Worlds } from './play.ts'
import { DEFER } from './run.ts'
import { kernelVersion } from './scenario.ts'
import { StackWorld } from './stack-world.ts'

/** The stack, and the kernel of this machine. */
export function worldsOn(host: RingHost): Worlds {
  const nic = nicQueue(process.env)
  let zcrx: string | null | undefined
  return {
    ours: (needs) => new StackWorld(needs),
    other: (patient, needs) =>
      needs === 'queue' && nic !== null
        ? new LinuxQueueWorld(host, nic, patient)
        : new LinuxWorld(host, patient),
    lacks(needs) {
      if (needs === 'queue' && nic === null)
        return 'a queue for zero-copy receive is in a machine: npm run vm -- --zcnic'
      zcrx = zcrx === undefined ? zcrxLack(host) : zcrx
      return zcrx
    },
    kernel: kernelVersion(release()),
  }
}

/** Why zero-copy receive without a device can't be had; null when it can. */
function zcrxLack(host: RingHost): string | null {
  const ring = Ring.queueInit(4, host, { flags: DEFER | IORING_SETUP_CQE32 })
  const area = ring.allocateArea(4096)
  const ifq = ring.registerIfq({ ifIdx: 0, ifRxq: 0, rqEntries: 1, area, flags: ZCRX_REG_NODEV })
  ring.queueExit()
  return typeof ifq === 'number' ? `zero-copy receive without a device: ${errnoName(ifq)}` : null
}
