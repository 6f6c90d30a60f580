import { LinuxHost } from '../../uapi/backend/linux/host.ts'
import { Ring } from '../../uapi/ring/ring.ts'

function look(): string {
  try {
    Ring.queueInit(1, new LinuxHost()).queueExit()
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

/** Why this kernel has no rings for us; empty when it has. */
export const linuxRingsObstacle: string = look()
