import type { LinkDirection } from '../../../driver/memory/index.ts'
import type { CapturedPacket } from '../../../pcap/file/packet.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'

/** Every frame that is put on a direction of a link from now on. */
export function recorded(direction: LinkDirection): Uint8Array[] {
  const frames: Uint8Array[] = []
  const send = direction.send.bind(direction)
  direction.send = (memory, offset, length) => {
    frames.push(memory.slice(offset, offset + length))
    send(memory, offset, length)
  }
  return frames
}

export async function packetsOf(file: string | Uint8Array): Promise<CapturedPacket[]> {
  const reader = await (typeof file === 'string' ? CaptureReader.open(file) : CaptureReader.from(file))
  const packets: CapturedPacket[] = []
  for await (const packet of reader) packets.push(packet)
  return packets
}

export function frameOf({ bytes, at, length }: CapturedPacket): Uint8Array {
  return bytes.slice(at, at + length)
}

export interface InterfaceCounts {
  received: number
  interfaceDrops: number
  delivered: number
  ended: boolean
}

/** What the interface statistics blocks of a little-endian file say, read block by block. */
export function statisticsOf(file: Uint8Array): InterfaceCounts[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const found: InterfaceCounts[] = []
  for (let at = 0; at < file.length; at += view.getUint32(at + 4, true)) {
    if (view.getUint32(at, true) !== 5) continue
    const options = new Map<number, number>()
    for (let option = at + 20; view.getUint16(option, true) !== 0; option += 12)
      options.set(view.getUint16(option, true), Number(view.getBigUint64(option + 4, true)))
    found.push({
      received: options.get(4)!,
      interfaceDrops: options.get(5)!,
      delivered: options.get(8)!,
      ended: options.has(3),
    })
  }
  return found
}
