import { NicError } from '../../errors.ts'
import { missingCapabilities } from '../system.ts'
import type { RawPackage, RawSocket } from './package.ts'

// socket(7), ip(7), ipv6(7), linux/sock_diag.h
const SOL_SOCKET = 1
const SO_ERROR = 4
const SO_RCVBUF = 8
const SO_SNDBUF = 7
const SO_BINDTODEVICE = 25
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SO_MEMINFO = 55
const SK_MEMINFO_VARS = 9
const SK_MEMINFO_DROPS = 8
const IPPROTO_IP = 0
const IP_HDRINCL = 3
const IPPROTO_IPV6 = 41
const IPV6_HDRINCL = 36

/** Bytes that packets may take in the kernel, either way. */
const KERNEL_BUFFER = 16 << 20
/** Between an error and the next look at a socket that always has one, at the most. */
const LONGEST_PAUSE_MS = 1000
/** strerror(3): the package hands errors on as text. */
const NOTHING_THERE = 'Resource temporarily unavailable'
const NO_ROOM = 'No buffer space available'

/** What became of a packet to send. */
export const SENT = 0
export const REFUSED = 1
/** The kernel has no room for it now. */
export const LATER = 2

/** A raw socket of one IP version and protocol. Packets go out with the IP header that they have. */
export class RawIpSocket {
  readonly version: 4 | 6
  readonly protocol: number
  /** It may be readable: set by the event loop, and by who does not wait for that. */
  ready = false
  /** Called from the event loop when the socket is readable. */
  onReady: () => void = () => {}
  /** Of the latest packet that was read. */
  bytes = 0
  source = ''
  readonly #socket: RawSocket
  readonly #statistics = Buffer.alloc(4 * SK_MEMINFO_VARS)
  readonly #arrived = (_buffer: Buffer, bytes: number, source: string): void => {
    this.bytes = bytes
    this.source = source
  }
  readonly #sent = (): void => {}
  readonly #error = Buffer.alloc(4)
  #open = true
  #watched = false
  /** How long the next error keeps the socket from being watched. */
  #pauseMs = 0
  #pause: NodeJS.Timeout | null = null

  /** @param device of a link-local address, which is one of an interface only; else empty @throws NicError */
  constructor(raw: RawPackage, version: 4 | 6, protocol: number, device: string) {
    this.version = version
    this.protocol = protocol
    try {
      const addressFamily = version === 4 ? raw.AddressFamily.IPv4 : raw.AddressFamily.IPv6
      // The package's own buffer is not used.
      this.#socket = raw.createSocket({ protocol, addressFamily, bufferSize: 1 })
    } catch (error) {
      throw refused(error, 'opening a raw socket')
    }
    try {
      this.#socket.pauseRecv()
      const { wrap } = this.#socket
      // The package would close the socket at the first error.
      wrap.removeAllListeners('error')
      wrap.on('error', () => this.#watchAgain())
      // The package would read a packet a turn of the event loop.
      wrap.removeAllListeners('recvReady')
      wrap.on('recvReady', () => {
        this.ready = true
        this.#pauseMs = 0
        this.onReady()
      })
      if (version === 4) this.#socket.setOption(IPPROTO_IP, IP_HDRINCL, 1)
      else this.#socket.setOption(IPPROTO_IPV6, IPV6_HDRINCL, 1)
      if (device !== '') {
        const name = Buffer.from(`${device}\0`)
        this.#socket.setOption(SOL_SOCKET, SO_BINDTODEVICE, name, name.length)
      }
      this.#enlarge(SO_RCVBUFFORCE, SO_RCVBUF)
      this.#enlarge(SO_SNDBUFFORCE, SO_SNDBUF)
    } catch (error) {
      this.close()
      throw refused(error, 'setting up a raw socket')
    }
  }

  /** Reads a packet into `buffer`; its size is then in `bytes` and who sent it in `source`. False when there is none. */
  read(buffer: Buffer): boolean {
    try {
      this.#socket.wrap.recv(buffer, this.#arrived)
      return true
    } catch {
      // Nothing there, as a rule; errors that a socket has pending are told once and mean the same.
      this.ready = false
      return false
    }
  }

  /** Sends a packet, IP header and all. Returns `SENT`, `REFUSED` or `LATER`. */
  send(buffer: Buffer, offset: number, length: number, address: string): number {
    try {
      this.#socket.wrap.send(buffer, offset, length, address, this.#sent)
      return SENT
    } catch (error) {
      const { message } = error as Error
      return message === NOTHING_THERE || message === NO_ROOM ? LATER : REFUSED
    }
  }

  /** Whether the event loop watches the socket, and is kept alive by it. */
  watch(on: boolean): void {
    if (!this.#open) return
    this.#watched = on
    this.#endPause()
    if (on) this.#socket.resumeRecv()
    else this.#socket.pauseRecv()
  }

  /**
   * Who watches a socket for the package stops at an error: it is taken away, and the socket watched again, later each time that
   * this happens without a packet in between.
   */
  #watchAgain(): void {
    if (!this.#open) return
    this.ready = true
    try {
      this.#socket.getOption(SOL_SOCKET, SO_ERROR, this.#error, this.#error.length)
    } catch {
      // Then the error stays, and with it the pause.
    }
    this.#endPause()
    this.#pause = setTimeout(() => {
      if (this.#watched && this.#open) this.#socket.pauseRecv()
      if (this.#watched && this.#open) this.#socket.resumeRecv()
    }, this.#pauseMs)
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(1, this.#pauseMs * 2))
    this.onReady()
  }

  #endPause(): void {
    if (this.#pause !== null) clearTimeout(this.#pause)
    this.#pause = null
  }

  /** Packets that the kernel had no room for. */
  drops(): number {
    if (!this.#open) return 0
    try {
      const length = this.#socket.getOption(SOL_SOCKET, SO_MEMINFO, this.#statistics, this.#statistics.length)
      return length < this.#statistics.length ? 0 : this.#statistics.readUInt32LE(4 * SK_MEMINFO_DROPS)
    } catch {
      // Before Linux 4.12 nobody knows.
      return 0
    }
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.ready = false
    this.#endPause()
    this.#socket.close()
  }

  #enlarge(forced: number, asked: number): void {
    try {
      this.#socket.setOption(SOL_SOCKET, forced, KERNEL_BUFFER)
    } catch {
      this.#socket.setOption(SOL_SOCKET, asked, KERNEL_BUFFER)
    }
  }
}

function refused(error: unknown, call: string): NicError {
  const reason = error instanceof Error ? error.message : String(error)
  return missingCapabilities().includes('CAP_NET_RAW')
    ? new NicError(
        'ZCRX_NIC_PERMISSION',
        `${call} is not permitted, the process lacks CAP_NET_RAW`,
        'run as root or with CAP_NET_RAW',
      )
    : new NicError('ZCRX_NIC_SYSTEM', `${call} failed: ${reason}`)
}
