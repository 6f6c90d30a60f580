import { put16, put32 } from '../bytes.ts'
import { allocateArea } from '../driver/area.ts'
import { type Flow, HEADROOM, NIOV, TCP_BYTES } from './replay.ts'

export const AREA_BYTES = 64 << 20

/** Turns the segment that already lies in a chunk into the next one of `flow`; the pseudo-header's sum stays the same. */
export function nextSegment(
  tcpAt: number,
  bytes: Uint8Array,
  at: number,
  flow: Flow,
  payload: number,
): number {
  put16(bytes, at + tcpAt, flow.port)
  put32(bytes, at + tcpAt + 4, flow.seq)
  put32(bytes, at + tcpAt + 8, flow.ack)
  flow.seq = (flow.seq + payload) | 0
  return tcpAt + TCP_BYTES + payload
}

/** CPU time in nanoseconds: unlike the wall's, it does not count what others did meanwhile. */
export function cpuNs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

/** Nanoseconds per packet that writing the frames alone takes: taken off, since a NIC's DMA would do it. */
export function timeFrames(tcpAt: number, packets: number, payload: number, count: number): number {
  const area = allocateArea(AREA_BYTES, 0)
  const flows: Flow[] = Array.from({ length: count }, (_, i) => ({
    port: 20_000 + i,
    seq: 0,
    ack: 0,
    tsEcr: 0,
    tsVal: 1,
  }))
  const start = cpuNs()
  let turn = 0
  for (let i = 0; i < packets; i++) {
    nextSegment(tcpAt, area, (i & 255) * NIOV + HEADROOM, flows[turn]!, payload)
    turn = turn + 1 === count ? 0 : turn + 1
  }
  return (cpuNs() - start) / packets
}
