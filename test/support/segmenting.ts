import type { MemoryNic } from '../../driver/memory/index.ts'
import type { LargeSends } from '../../driver/nic.ts'

const SLOT = 66_000

/** What a device did that cut frames. */
export interface Cuts {
  /** Frames that came to be cut, and what they became. */
  frames: number
  segments: number
}

/** Lets an end of a memory link cut frames into segments as a device with TCP segmentation offload does. */
export function segmenting(nic: MemoryNic): Cuts {
  const cuts: Cuts = { frames: 0, segments: 0 }
  const commit = nic.txCommit.bind(nic)
  // A slot, and behind it room for a segment; the link copies what is committed.
  const staged = new Uint8Array(2 * SLOT)
  const send = (frame: Uint8Array): void => {
    staged.set(frame, SLOT)
    commit(SLOT, frame.length)
  }
  const largeSends: LargeSends = {
    txLargeBytes: SLOT,
    txCommitLarge: (_at, length, tcpAt, headerBytes, segmentBytes) => {
      cuts.frames++
      for (let at = headerBytes; at < length; at += segmentBytes) {
        const end = Math.min(at + segmentBytes, length)
        cuts.segments++
        send(cut(staged, at, end, length, tcpAt, headerBytes))
      }
    },
  }
  Object.defineProperties(nic, {
    txMemory: { value: staged },
    txReserve: { value: () => 0 },
    roles: { value: { ...nic.roles, largeSends } },
  })
  return cuts
}

function cut(
  whole: Uint8Array,
  from: number,
  to: number,
  length: number,
  tcpAt: number,
  headerBytes: number,
): Uint8Array {
  const frame = new Uint8Array(headerBytes + to - from)
  frame.set(whole.subarray(0, headerBytes))
  frame.set(whole.subarray(from, to), headerBytes)
  const view = new DataView(frame.buffer)
  const four = view.getUint16(12) === 0x0800
  const tcpBytes = frame.length - tcpAt
  const addresses = four ? [26, 34] : [22, 54]
  if (four) {
    view.setUint16(16, frame.length - 14)
    view.setUint16(24, 0)
    view.setUint16(24, ~sum(frame.subarray(14, 34)) & 0xffff)
  } else view.setUint16(18, tcpBytes)
  const pseudo = sum(frame.subarray(addresses[0], addresses[1]), 6 + tcpBytes)
  // What the stack left there is the sum over the whole (virtio 1.2, 5.1.6.2).
  const original = new DataView(whole.buffer, whole.byteOffset)
  const wholePseudo = sum(frame.subarray(addresses[0], addresses[1]), 6 + length - tcpAt)
  if (original.getUint16(tcpAt + 16) !== wholePseudo) throw new Error('no pseudo-header sum')
  view.setUint32(tcpAt + 4, view.getUint32(tcpAt + 4) + from - headerBytes)
  if (to < length) frame[tcpAt + 13]! &= ~0x09
  view.setUint16(tcpAt + 16, 0)
  view.setUint16(tcpAt + 16, ~sum(frame.subarray(tcpAt), pseudo) & 0xffff)
  return frame
}

/** Folded sum of big-endian words. */
function sum(bytes: Uint8Array, start = 0): number {
  let total = start
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total
}
