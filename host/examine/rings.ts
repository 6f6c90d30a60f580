import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Processes that have an io_uring open, as `pid 42 (name)`. Only what /proc lets us see; this process is not among them. */
export function holdersOfRings(): string[] {
  const holders: string[] = []
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    try {
      if (!readdirSync(`/proc/${pid}/fd`).some((fd) => isRing(`/proc/${pid}/fd/${fd}`))) continue
      holders.push(`pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`)
    } catch {
      // gone meanwhile, or not ours to look into
    }
  }
  return holders
}

/** A ring, or a queue that was taken out of one (`ZCRX_CTRL_EXPORT`). */
function isRing(path: string): boolean {
  try {
    return /^anon_inode:\[(io_uring|zcrx)\]$/.test(readlinkSync(path))
  } catch {
    return false
  }
}
