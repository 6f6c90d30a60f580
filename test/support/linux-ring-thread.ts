import { parentPort } from 'node:worker_threads'
import * as abi from '../../uapi/abi/index.ts'
import { LinuxHost } from '../../uapi/backend/linux/host.ts'
import type { RingsMemory } from '../../uapi/backend/linux/set-up.ts'
import { Ring } from '../../uapi/ring/ring.ts'

/** A thread with a ring, which sleeps for a completion that never comes. Usage: linux-ring-thread.ts MEMORY */
const flags = abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER
const ring = Ring.queueInit(8, new LinuxHost({ memory: process.argv[2] as RingsMemory }), { flags })
ring.arm(() => {})
parentPort!.postMessage('ready')
