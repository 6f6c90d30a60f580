import { getU64, putU64 } from './struct.ts'

/** Byte offsets in `struct tcp_info` (`linux/tcp.h`) of what is served. */
const offsets = {
  state: [0, 1],
  retransmits: [2, 1],
  backoff: [4, 1],
  options: [5, 1],
  rto: [8, 4],
  ato: [12, 4],
  sndMss: [16, 4],
  rcvMss: [20, 4],
  unacked: [24, 4],
  /** Of a listener: its backlog. */
  sacked: [28, 4],
  retrans: [36, 4],
  pmtu: [60, 4],
  rtt: [68, 4],
  rttvar: [72, 4],
  sndSsthresh: [76, 4],
  sndCwnd: [80, 4],
  advmss: [84, 4],
  bytesAcked: [120, 8],
  bytesReceived: [128, 8],
  notsentBytes: [144, 4],
  sndWnd: [228, 4],
  rcvWnd: [232, 4],
} as const

/** Fields of `TcpInfo`, as the kernel's structure names them without their prefix. */
export type TcpInfoField = keyof typeof offsets

/**
 * `struct tcp_info`, 248 bytes: what TCP_INFO answers. States, `rto`, `ato` and the like are in the kernel's units
 * (microseconds, bytes, segments for `sndCwnd`). Fields that are not served are 0.
 */
export class TcpInfo {
  static readonly SIZE = 248
  readonly bytes: Uint8Array
  readonly #view: DataView

  constructor(bytes: Uint8Array = new Uint8Array(TcpInfo.SIZE)) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get(field: TcpInfoField): number {
    const [at, size] = offsets[field]
    if (size === 1) return this.#view.getUint8(at)
    return size === 4 ? this.#view.getUint32(at, true) : getU64(this.#view, at)
  }

  set(field: TcpInfoField, value: number): void {
    const [at, size] = offsets[field]
    const whole = Math.max(0, Math.floor(value))
    if (size === 1) this.#view.setUint8(at, whole)
    else if (size === 4) this.#view.setUint32(at, Math.min(0xffff_ffff, whole), true)
    else putU64(this.#view, at, whole)
  }

  /** `tcpi_snd_wscale` and `tcpi_rcv_wscale`. */
  get wscale(): { snd: number; rcv: number } {
    const both = this.#view.getUint8(6)
    return { snd: both & 15, rcv: both >>> 4 }
  }
  setWscale(snd: number, rcv: number): void {
    this.#view.setUint8(6, (snd & 15) | ((rcv & 15) << 4))
  }
}
