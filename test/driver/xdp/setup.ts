import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { nativeOrNull } from '../../../driver/native/index.ts'
import { allocatePages } from '../../../driver/native/memory.ts'
import type { NicMemory } from '../../../driver/nic.ts'
import { RxBurst } from '../../../driver/nic.ts'
import { missingCapabilities } from '../../../driver/system.ts'
import type { XdpNic } from '../../../driver/xdp/index.ts'
import type { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { hex } from './frames.ts'

export const CHUNK = 4096

/** Why real queues can't be tested here; empty when they can. Said aloud once per file. */
export const obstacle = ((): string => {
  const native = nativeOrNull()
  if (native === null) return 'the native addon is not built (npm run build:native)'
  if (process.getuid?.() !== 0) return 'not root, so no network namespaces'
  const missing = missingCapabilities()
  if (missing.length > 0) return `no ${missing.join(', ')}`
  const fd = native.xskSocket()
  if (fd < 0) return `no AF_XDP sockets (errno ${-fd})`
  native.close(fd)
  return ''
})()

if (obstacle !== '') console.warn(`AF_XDP tests are skipped: ${obstacle}`)

export function script(name: string): string {
  return fileURLToPath(new URL(`../../support/${name}`, import.meta.url))
}

/** An area of `chunks` chunks with the tail that the queue needs. */
export function memoryFor(nic: XdpNic, chunks = 512, buffer?: ArrayBuffer | SharedArrayBuffer): NicMemory {
  const areaLength = chunks * CHUNK
  const memory = buffer ?? allocatePages(areaLength + nic.info.tailBytes).buffer
  return { buffer: memory, areaOffset: 0, areaLength, chunkSize: CHUNK }
}

/** Chunk numbers `0..count`. */
export function chunkNumbers(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i)
}

/** Sends frames from the peer's end of the pair. */
export function inject(pair: VethPair, frames: Uint8Array[], gsoSize = 0): void {
  const args = [script('inject.py'), pair.peerDevice, ...(gsoSize > 0 ? [`${gsoSize}`] : [])]
  execFileSync('ip', ['netns', 'exec', pair.peer, PYTHON, ...args], {
    input: frames.map(hex).join('\n'),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

/** Copies of the frames that have arrived, once `count` have or nothing more comes; chunks go back to the fill ring. */
export function collect(nic: XdpNic, memory: NicMemory, count: number, burst = new RxBurst()): Uint8Array[] {
  const frames: Uint8Array[] = []
  const area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
  while (frames.length < count && nic.wait(500)) {
    const entries = nic.receive(burst)
    let parts: Uint8Array[] = []
    for (let i = 0; i < entries; i++) {
      parts.push(area.slice(burst.offset[i]!, burst.offset[i]! + burst.length[i]!))
      if ((burst.flags[i]! & 1) !== 0) continue
      frames.push(Buffer.concat(parts))
      parts = []
    }
    nic.fill(
      Uint32Array.from(burst.offset.subarray(0, entries), (offset) => Math.floor(offset / CHUNK)),
      0,
      entries,
    )
  }
  return frames
}
