import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | null = null

function gc(): void {
  if (collect === null) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
}

/** Bytes in use when all garbage is gone. */
export interface MemoryUse {
  /** JavaScript heap. */
  readonly heap: number
  /** Array buffers and what else V8 knows of outside its heap. */
  readonly external: number
  /** Of the process, as the kernel counts. */
  readonly resident: number
}

export function memoryUse(): MemoryUse {
  for (let i = 0; i < 3; i++) gc()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heap: heapUsed, external, resident: rss }
}

/** Heap and array buffers. */
export function memoryInUse(): number {
  for (let i = 0; i < 3; i++) gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
