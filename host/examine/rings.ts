import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** A ring, or a queue that was taken out of one (`ZCRX_CTRL_EXPORT`). */
const RING = /^anon_inode:\[(io_uring|zcrx)\]$/

/**
 * Processes that have an io_uring, as `pid 42 (name)`: open, or closed and still mapped, which keeps its queues as well. Only what
 * /proc lets us see.
 */
export function holdersOfRings(): string[] {
  const holders: string[] = []
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      if (!hasOpen(pid) && !readFileSync(`/proc/${pid}/maps`, 'latin1').includes('anon_inode:[io_uring]'))
        continue
      holders.push(`pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`)
    } catch {
      // gone meanwhile, or not ours to look into
    }
  }
  return holders
}

function hasOpen(pid: string): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => isRing(`/proc/${pid}/fd/${fd}`))
}

function isRing(path: string): boolean {
  try {
    return RING.test(readlinkSync(path))
  } catch {
    return false
  }
}
