import { parentPort } from 'node:worker_threads'
import { LinuxHost } from '../../uapi/backend/linux/host.ts'
import { Ring } from '../../uapi/ring/ring.ts'

/** A thread that sleeps in the kernel for a completion that never comes. */
const ring = Ring.queueInit(8, new LinuxHost())
parentPort!.postMessage('ready')
ring.waitCqe()
