import { allocatePages } from '../../../driver/native/memory.ts'
import { type Nic, type NicMemory, RxBurst } from '../../../driver/nic.ts'
import { PacketNic, type PacketNicOptions } from '../../../driver/packet/index.ts'
import type { VethPair } from '../../support/netns.ts'

const AREA_BYTES = 64 << 10

/** A small area: these NICs leave it alone. */
export function someMemory(): NicMemory {
  return { buffer: allocatePages(AREA_BYTES).buffer, areaOffset: 0, areaLength: AREA_BYTES, chunkSize: 4096 }
}

/** A queue on our end of the pair that runs. */
export function openPacket(pair: VethPair, options: Partial<PacketNicOptions> = {}): PacketNic {
  const nic = PacketNic.open({ device: pair.device, netns: pair.oursPath, ...options })
  nic.attach(someMemory())
  return nic
}

export interface SideFrame {
  bytes: Uint8Array
  flags: number
}

/** Copies of the frames that have arrived, once `count` have or nothing more comes. */
export function collectSide(nic: Nic, count: number): SideFrame[] {
  const burst = new RxBurst()
  const frames: SideFrame[] = []
  while (frames.length < count && nic.wait(500)) {
    nic.receive(burst)
    for (let i = 0; i < burst.count; i++) {
      const from = burst.offset[i]!
      frames.push({
        bytes: nic.roles.sideMemory!.slice(from, from + burst.length[i]!),
        flags: burst.flags[i]!,
      })
    }
  }
  return frames
}

/** A counter of a namespace, as nstat(8) has it. */
export function kernelCounter(pair: VethPair, ns: string, name: string): number {
  const line = pair
    .run(ns, 'nstat', '-asz', name)
    .split('\n')
    .find((text) => text.startsWith(name))
  if (line === undefined) throw new Error(`nstat knows no ${name}`)
  return Number(line.split(/\s+/)[1])
}
