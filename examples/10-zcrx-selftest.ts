/**
 * The kernel's selftest of zero-copy receive, told anew: a server that checks every byte, and a client that sends them. The
 * options are that program's; 42 is its exit status for what the machine can't do.
 *
 *     node dist/examples/10-zcrx-selftest.js -s -p 9999 -i eth0 -q 0          or over Linux's own rings: -i linux:eth0
 *     node dist/examples/10-zcrx-selftest.js -c -h 192.0.2.1 -p 9999 -l 12840
 */
import { connect } from 'node:net'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import * as zcrx from 'zcrx'
import { deviceOf, type RingSide } from './09-zcrx-server.ts'
import { call } from './call.ts'

const PAGE = 4096
const AREA_BYTES = 8192 * PAGE
export const SEND_BYTES = 512 * 4096
/** Headers of IPv6 and TCP, with options: what the payload of a send leaves room for. */
const MAX_PAYLOAD = SEND_BYTES - 40 - 20 - 40
const RQ_ENTRIES = 4096
const PATIENCE_MS = 5000
export const SKIP = 42

export interface SelftestOptions {
  port: number
  /** Requests of a page each, made one after another: so many after the first. Undefined: one without a limit. */
  oneshot: number | undefined
  /** Bytes of a buffer; 0 = a page. */
  rxBufLen: number
  /** Only registers. */
  dryRun: boolean
}

/** What the machine can't do. */
export class Skipped extends Error {}

/** The stream that both sides know: `a` to `z`, over and over. */
export function payload(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => 97 + (i % 26))
}

/** Receives and checks. Returns the bytes. @throws Error on the first that is wrong; Skipped */
export function runServer(host: RingSide, options: SelftestOptions): number {
  const ring = zcrx.Ring.queueInit(512, host, {
    flags:
      zcrx.IORING_SETUP_COOP_TASKRUN |
      zcrx.IORING_SETUP_SINGLE_ISSUER |
      zcrx.IORING_SETUP_DEFER_TASKRUN |
      zcrx.IORING_SETUP_SUBMIT_ALL |
      zcrx.IORING_SETUP_CQE32,
  })
  try {
    return receive(host, ring, options)
  } finally {
    ring.queueExit()
  }
}

function receive(host: RingSide, ring: zcrx.Ring, options: SelftestOptions): number {
  const large = options.rxBufLen !== 0 && options.rxBufLen !== PAGE
  const { area, ifq } = register(host, ring, options.rxBufLen, large)
  if (options.dryRun) return 0
  const family = host.address.version === 4 ? zcrx.AF_INET : zcrx.AF_INET6
  const listener = call(ring, (sqe) => sqe.prepSocket(family, zcrx.SOCK_STREAM, 0))
  call(ring, (sqe) => sqe.prepBind(listener, zcrx.sockaddrOf(host.address, options.port)))
  call(ring, (sqe) => sqe.prepListen(listener, 1024))
  ring.getSqe()!.prepAccept(listener).setData(1)

  const expected = payload(SEND_BYTES)
  const limit = options.oneshot === undefined ? 0 : PAGE
  let left = options.oneshot ?? 0
  let connection = -1
  let received = 0
  let stop = false
  const request = (): void => void ring.getSqe()!.prepRecvZc(connection, ifq.zcrxId, limit).setData(2)
  const completed = (cqe: zcrx.Cqe): void => {
    if (cqe.res < 0)
      throw new Error(`${cqe.userData === 1 ? 'accept' : 'RECV_ZC'}: ${zcrx.errnoName(cqe.res)}`)
    if (cqe.userData === 1) {
      connection = cqe.res
      request()
      return
    }
    if ((cqe.flags & zcrx.IORING_CQE_F_MORE) === 0) {
      // The end of the stream, or of the last request with a limit.
      if (left === 0) stop = true
      else {
        left--
        request()
      }
      return
    }
    for (let i = 0; i < cqe.res; i++) {
      if (area[cqe.offset + i] !== expected[received + i])
        throw new Error(`payload mismatch at ${received + i}`)
    }
    received += cqe.res
    ifq.rq.push(cqe.areaId, cqe.offset, cqe.res)
  }
  const deadline = performance.now() + PATIENCE_MS
  while (!stop) {
    if (performance.now() > deadline) throw new Error(`test failed: ${received} bytes in ${PATIENCE_MS} ms`)
    ring.submitAndWaitTimeout(1, PATIENCE_MS)
    const count = ring.forEachCqe(completed)
    ifq.rq.advance()
    ring.cqAdvance(count)
  }
  call(ring, (sqe) => sqe.prepClose(connection))
  return received
}

function register(
  host: RingSide,
  ring: zcrx.Ring,
  rxBufLen: number,
  large: boolean,
): { area: Uint8Array; ifq: zcrx.Ifq } {
  const { ifIndex, queue, tailBytes } = host.nic.info
  const area = zcrx.allocateArea(AREA_BYTES, tailBytes, { huge: large })
  const ifq = ring.registerIfq({ ifIdx: ifIndex, ifRxq: queue, rqEntries: RQ_ENTRIES, area, rxBufLen })
  if (typeof ifq !== 'number') return { area, ifq }
  if (large && [zcrx.EINVAL, zcrx.EOPNOTSUPP, zcrx.ERANGE].includes(-ifq)) {
    throw new Skipped(`Large chunks are not supported: ${zcrx.errnoName(ifq)}`)
  }
  throw new Error(`registerIfq: ${zcrx.errnoName(ifq)}`)
}

/** Sends `bytes` of the stream in writes of `length`, over the system's own sockets. */
export async function runClient(address: string, port: number, length: number, bytes: number): Promise<void> {
  const data = payload(bytes)
  const socket = connect(port, address)
  const closed = new Promise<void>((resolve, reject) =>
    socket.once('close', () => resolve()).once('error', reject),
  )
  for (let sent = 0; sent < bytes; sent += length) {
    const part = data.subarray(sent, Math.min(bytes, sent + length))
    if (!socket.write(part))
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  socket.end()
  await closed
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      server: { type: 'boolean', short: 's' },
      client: { type: 'boolean', short: 'c' },
      host: { type: 'string', short: 'h' },
      port: { type: 'string', short: 'p', default: '8000' },
      length: { type: 'string', short: 'l', default: String(MAX_PAYLOAD) },
      interface: { type: 'string', short: 'i' },
      queue: { type: 'string', short: 'q', default: '0' },
      oneshot: { type: 'string', short: 'o' },
      size: { type: 'string', short: 'z', default: String(SEND_BYTES) },
      pages: { type: 'string', short: 'x', default: '0' },
      'dry-run': { type: 'boolean', short: 'd' },
    },
  })
  const port = Number(values.port)
  if (values.server === values.client) throw new Error('pass one of -s and -c')
  if (values.client === true) {
    if (values.host === undefined) throw new Error('name the server: -h ADDRESS')
    const length = Number(values.length)
    if (!(length > 0 && length <= MAX_PAYLOAD)) throw new Error(`-l: 1 to ${MAX_PAYLOAD} bytes`)
    await runClient(values.host, port, length, Number(values.size))
    return 0
  }
  if (values.interface === undefined) throw new Error('name the interface: -i eth0')
  const host = zcrx.openRingHost({ device: deviceOf(values.interface, values.queue) })
  try {
    const bytes = runServer(host, {
      port,
      oneshot: values.oneshot === undefined ? undefined : Number(values.oneshot),
      rxBufLen: Number(values.pages) * PAGE,
      dryRun: values['dry-run'] ?? false,
    })
    console.log(`${bytes} bytes, all as sent`)
    return 0
  } catch (error) {
    if (!(error instanceof Skipped)) throw error
    console.log(error.message)
    return SKIP
  } finally {
    host.close()
  }
}

const [, script = '', ...args] = process.argv
if (args.length > 0 && import.meta.url === pathToFileURL(script).href) process.exitCode = await main(args)
if (args.length === 0 && import.meta.url === pathToFileURL(script).href)
  console.log('it needs an interface: the first lines of this file say how it is called')
