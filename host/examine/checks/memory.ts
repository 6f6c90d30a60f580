import { type Observation, XDP_WAYS } from '../finding.ts'
import type { Facts } from '../wanted.ts'

/** Checks of memory: what may be locked, huge pages. */

/** Behind the area, for frames to send (`NicInfo.tailBytes` of AF_XDP). */
export const XDP_TAIL_BYTES = 1 << 20

export function checkMemlock({ machine, wanted }: Facts): Observation[] {
  const check = 'locked memory'
  const { soft, hard } = machine.memlock
  const need = wanted.areaBytes + XDP_TAIL_BYTES
  if (machine.capabilities.has('CAP_IPC_LOCK')) return [{ check, found: 'CAP_IPC_LOCK: no limit' }]
  if (soft >= need) return [{ check, found: `${limit(soft)}, ${kib(need)} needed` }]
  return [
    {
      check,
      found: `limit of ${kib(soft)}, ${kib(need)} needed`,
      closes: XDP_WAYS,
      cost: 'AF_XDP can’t pin the area: a smaller --area, or another way in',
      fix:
        hard >= need
          ? `ulimit -l ${Math.ceil(need / 1024)}`
          : `sudo prlimit --pid $$ --memlock=${need}:${need}`,
    },
  ]
}

export function checkHugePages({ machine, wanted }: Facts): Observation[] {
  const { hugePages, transparentHugePages: mode } = machine
  const { total, free, bytes } = hugePages
  const pages = Math.ceil((wanted.areaBytes + XDP_TAIL_BYTES) / bytes)
  const found = `${free} of ${total} pages of 2 MiB free, transparent ones: ${mode || 'none'}`
  const check = 'huge pages'
  if (mode === '' || mode === 'never') {
    const cost = 'more TLB misses'
    const fix = mode === '' ? '' : 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled'
    return [{ check, found, cost, fix }]
  }
  if (free >= pages) return [{ check, found }]
  const cost = 'none with buffers of 4096 bytes; AF_XDP has larger ones (rxBufLen) in reserved pages only'
  return [{ check, found, cost, fix: `sysctl -w vm.nr_hugepages=${total + pages - free}` }]
}

function limit(bytes: number): string {
  return Number.isFinite(bytes) ? `limit of ${kib(bytes)}` : 'no limit'
}

function kib(bytes: number): string {
  return `${Math.floor(bytes / 1024)} KiB`
}
