/** The other end, in a thread of its own: Linux's TCP of the peer's namespace, or frames made here. */
import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { loadNative } from '../../driver/native/index.ts'
import { PacketNic } from '../../driver/packet/index.ts'

/** What a stream repeats. */
export const PERIOD = 251
const LETTERS = 26
/** Until somebody listens. */
const AGAIN_MS = 50
const TRIES = 600

export type Order =
  /** @param letters `a` to `z` over and over, as the example programs want it, to whoever listens sooner or later */
  | { kind: 'stream'; port: number; bytes: number; letters?: boolean }
  | { kind: 'flood'; stop: SharedArrayBuffer }

export interface PeerData {
  readonly netns: string
  readonly address: string
  /** Hardware and IPv4 address that floods go to. */
  readonly mac: Uint8Array
  readonly claimed: Uint8Array
}

const FLOOD_PAYLOAD = 1000
const FRAMES_A_FLUSH = 32

/** Sockets that this thread makes are the peer's from now on. */
function enter(netns: string): void {
  const fd = openSync(netns, 'r')
  loadNative().setNetns(fd)
  closeSync(fd)
}

function stream(data: PeerData, port: number, bytes: number, letters: boolean, tries = TRIES): void {
  const block = Buffer.from(
    letters
      ? Uint8Array.from({ length: LETTERS * 1024 }, (_, i) => 97 + (i % LETTERS))
      : Uint8Array.from({ length: PERIOD * 256 }, (_, i) => i % PERIOD),
  )
  const socket = connect(port, data.address)
  let left = bytes
  const write = (): void => {
    while (left > 0) {
      const piece = block.subarray(0, Math.min(left, block.length))
      left -= piece.length
      if (!socket.write(piece)) {
        socket.once('drain', write)
        return
      }
    }
    socket.end()
  }
  socket.on('connect', write)
  let refused = false
  socket.on('error', (error: NodeJS.ErrnoException) => {
    refused = letters && error.code === 'ECONNREFUSED'
    if (!refused) parentPort!.postMessage(`error ${error.message}`)
  })
  socket.on('close', () => {
    if (refused && tries > 1) setTimeout(() => stream(data, port, bytes, letters, tries - 1), AGAIN_MS)
    else parentPort!.postMessage('done')
  })
  socket.resume()
}

/** UDP datagrams to the claimed address, without a pause. */
function flood({ netns, mac, claimed }: PeerData, stop: SharedArrayBuffer): void {
  const nic = PacketNic.open({ device: 'vn1', netns, guard: 'none' })
  nic.attach({ buffer: new ArrayBuffer(4096), areaOffset: 0, areaLength: 4096, chunkSize: 4096 })
  const frame = datagram(mac, nic.info.mac, claimed)
  const flag = new Int32Array(stop)
  while (Atomics.load(flag, 0) === 0) {
    for (let i = 0; i < FRAMES_A_FLUSH; i++) {
      const at = nic.txReserve()
      if (at < 0) break
      nic.txMemory.set(frame, at)
      nic.txCommit(at, frame.length)
    }
    nic.txFlush()
    // The machine has one processor.
    Atomics.wait(flag, 0, 0, 1)
  }
  nic.close()
  parentPort!.postMessage('done')
}

function datagram(to: Uint8Array, from: Uint8Array, address: Uint8Array): Uint8Array {
  const frame = new Uint8Array(42 + FLOOD_PAYLOAD).fill(0x5a)
  const view = new DataView(frame.buffer)
  frame.set(to, 0)
  frame.set(from, 6)
  view.setUint16(12, 0x0800)
  frame.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 7, 0, 2], 14)
  view.setUint16(16, 28 + FLOOD_PAYLOAD)
  frame.set(address, 30)
  let sum = 0
  for (let i = 14; i < 34; i += 2) sum += view.getUint16(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  view.setUint16(24, ~sum & 0xffff)
  view.setUint16(34, 4000)
  view.setUint16(36, 5000)
  view.setUint16(38, 8 + FLOOD_PAYLOAD)
  view.setUint16(40, 0)
  return frame
}

if (parentPort !== null) {
  const data = workerData as PeerData
  enter(data.netns)
  parentPort.on('message', (order: Order) => {
    if (order.kind === 'stream') stream(data, order.port, order.bytes, order.letters ?? false)
    else flood(data, order.stop)
  })
}
