import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import { NicError } from '../../errors.ts'

/** What is used of the package `raw-socket`: its socket, and the binding below it, which reads and sends on the spot. */

export interface RawBinding {
  /** Reads a packet into `buffer` and calls back before it returns. @throws Error with the system's words, when there is none too */
  recv(buffer: Buffer, callback: (buffer: Buffer, bytes: number, source: string) => void): void
  /** @throws Error with the system's words */
  send(
    buffer: Buffer,
    offset: number,
    length: number,
    address: string,
    callback: (bytes: number) => void,
  ): void
  on(event: 'recvReady' | 'error', listener: () => void): void
  removeAllListeners(event: 'recvReady' | 'error'): void
}

export interface RawSocket {
  readonly wrap: RawBinding
  setOption(level: number, option: number, value: number): void
  setOption(level: number, option: number, value: Buffer, length: number): void
  getOption(level: number, option: number, value: Buffer, length: number): number
  pauseRecv(): void
  resumeRecv(): void
  close(): void
}

export interface RawPackage {
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number }
  createSocket(options: { protocol: number; addressFamily: number; bufferSize: number }): RawSocket
}

/** @throws NicError `ZCRX_NIC_ADDON` when the package is not installed, `ZCRX_NIC_UNSUPPORTED` in a worker thread */
export function loadRawSocket(): RawPackage {
  if (!isMainThread) {
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      'raw-socket works in the main thread only, whose event loop it uses',
      'open the raw driver there',
    )
  }
  let loaded: RawPackage
  try {
    loaded = createRequire(import.meta.url)('raw-socket') as RawPackage
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).split('\n')[0]
    throw new NicError(
      'ZCRX_NIC_ADDON',
      `the package raw-socket can't be loaded (${reason})`,
      'npm install raw-socket',
    )
  }
  return loaded
}
