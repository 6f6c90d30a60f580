/**
 * A server as liburing's example for zero-copy receive is one: accepts a connection, receives what it sends into an area, may
 * check it, and says how much came. The options are that program's.
 *
 *     node dist/examples/09-zcrx-server.js -i eth0 -q 0 -p 8000 -v        on another machine, bytes a..z over and over to port 8000
 *     node dist/examples/09-zcrx-server.js -i linux:eth0 -q 5 -p 8000 -v  the same over Linux's own rings
 */
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import * as zcrx from 'zcrx'
import { allocatePages, loadNative } from 'zcrx/driver'
import { call } from './call.ts'

export interface ServerOptions {
  port: number
  /** Bytes to receive; 0 = until the peer closes. */
  size: number
  /** The peer sends `a` to `z` over and over; anything else is an error. */
  verify: boolean
  /** Whose memory the refill queue lies in: 0 the program's, 1 the ring's. */
  rqAllocation: 0 | 1
  areaBytes: number
  /** 0 ordinary pages, 1 huge pages, 2 a descriptor of memory. */
  areaType: 0 | 1 | 2
  cqEntries: number
  rqEntries: number
}

export const SERVER_DEFAULTS: ServerOptions = {
  port: 8000,
  size: 0,
  verify: false,
  rqAllocation: 0,
  areaBytes: 256 << 20,
  areaType: 0,
  cqEntries: 8192,
  rqEntries: 8192,
}

export interface ServerReport {
  received: number
  completions: number
  /** Requests that had to be made again, because the completion queue was full or the area used up. */
  requeues: number
}

/** What a host offers to a program on the ring. */
export type RingSide = Pick<zcrx.Host | zcrx.LinuxSystem, 'ringBackend' | 'nic' | 'address' | 'adoptFd'>

/** A device by the options of the program: an interface is taken over AF_XDP, unless it says how. */
export function deviceOf(name: string, queue: string): string {
  return name.includes(':') ? `${name}/${queue}` : `xdp:${name}/${queue}`
}

const ACCEPT = 1
const RECEIVE = 2

/** Serves one connection. @throws Error when something is not as it should be */
export function serve(host: RingSide, options: ServerOptions): ServerReport {
  const ring = zcrx.Ring.queueInit(8, host, {
    flags:
      zcrx.IORING_SETUP_COOP_TASKRUN |
      zcrx.IORING_SETUP_SINGLE_ISSUER |
      zcrx.IORING_SETUP_DEFER_TASKRUN |
      zcrx.IORING_SETUP_SUBMIT_ALL |
      zcrx.IORING_SETUP_CQE32 |
      zcrx.IORING_SETUP_CQSIZE,
    cqEntries: options.cqEntries,
  })
  try {
    return run(host, ring, options)
  } finally {
    ring.queueExit()
  }
}

function run(host: RingSide, ring: zcrx.Ring, options: ServerOptions): ServerReport {
  const { area, memory } = makeArea(host, options)
  const ifq = ring.registerIfq({
    ifIdx: host.nic.info.ifIndex,
    ifRxq: host.nic.info.queue,
    rqEntries: options.rqEntries,
    area,
    region: options.rqAllocation === 1 ? 'ring' : 'user',
  })
  if (typeof ifq === 'number') throw new Error(`registerIfq: ${zcrx.errnoName(ifq)}`)

  const listener = call(ring, (sqe) => sqe.prepSocket(familyOf(host.address), zcrx.SOCK_STREAM, 0))
  call(ring, (sqe) => sqe.prepBind(listener, zcrx.sockaddrOf(host.address, options.port)))
  call(ring, (sqe) => sqe.prepListen(listener, 1024))
  ring.getSqe()!.prepAccept(listener).setData(ACCEPT)

  const report: ServerReport = { received: 0, completions: 0, requeues: 0 }
  let connection = -1
  let again = false
  let open = true
  const receive = (): void => {
    const left = options.size === 0 ? 0 : options.size - report.received
    ring.getSqe()!.prepRecvZc(connection, ifq.zcrxId, left).setData(RECEIVE)
  }
  const completed = (cqe: zcrx.Cqe): void => {
    if (cqe.userData === ACCEPT) {
      if (cqe.res < 0) throw new Error(`accept: ${zcrx.errnoName(cqe.res)}`)
      connection = cqe.res
      receive()
      return
    }
    report.completions++
    if ((cqe.flags & zcrx.IORING_CQE_F_MORE) !== 0) {
      if (options.verify) verify(memory, cqe.offset, cqe.res, report.received)
      report.received += cqe.res
      if (!ifq.rq.push(cqe.areaId, cqe.offset, cqe.res)) throw new Error('the refill queue is full')
    } else if (cqe.res === -zcrx.ENOSPC || cqe.res === -zcrx.ENOMEM) again = true
    else if (cqe.res < 0) throw new Error(`RECV_ZC: ${zcrx.errnoName(cqe.res)}`)
    else open = false
  }
  while (open) {
    ring.submitAndWait(1)
    const count = ring.forEachCqe(completed)
    ifq.rq.advance()
    ring.cqAdvance(count)
    if (!again) continue
    again = false
    report.requeues++
    ring.flushRq(ifq.zcrxId)
    receive()
  }
  if (options.size !== 0 && report.received !== options.size) {
    throw new Error(`${report.received} of ${options.size} bytes came`)
  }
  call(ring, (sqe) => sqe.prepClose(connection))
  call(ring, (sqe) => sqe.prepClose(listener))
  return report
}

/** An area of the kind asked for, and the memory to read it through. */
function makeArea(host: RingSide, options: ServerOptions): { area: zcrx.AreaSource; memory: Uint8Array } {
  if (options.areaType !== 2) {
    const area = zcrx.allocateArea(options.areaBytes, host.nic.info.tailBytes, {
      huge: options.areaType === 1,
    })
    return { area, memory: area }
  }
  const { buffer, fd: memfd } = allocatePages(options.areaBytes, { memfd: 'zcrx-server' })
  const fd = host.adoptFd(memfd)
  if (fd !== memfd) loadNative().close(memfd)
  if (fd < 0) throw new Error(`adoptFd: ${zcrx.errnoName(fd)}`)
  return { area: { fd, bytes: options.areaBytes }, memory: new Uint8Array(buffer) }
}

function familyOf(address: zcrx.IpAddress): number {
  return address.version === 4 ? zcrx.AF_INET : zcrx.AF_INET6
}

/** @param sequence bytes of the stream before these */
function verify(memory: Uint8Array, offset: number, length: number, sequence: number): void {
  for (let i = 0; i < length; i++) {
    const expected = 97 + ((sequence + i) % 26)
    if (memory[offset + i] !== expected) {
      throw new Error(`byte ${sequence + i} of the stream is ${memory[offset + i]}, not ${expected}`)
    }
  }
}

/** Reads the program's options. @throws Error */
export function parseServer(args: string[]): {
  device: string
  cpu: string | undefined
  options: ServerOptions
} {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', short: 'p' },
      interface: { type: 'string', short: 'i' },
      queue: { type: 'string', short: 'q' },
      size: { type: 'string', short: 's' },
      verify: { type: 'boolean', short: 'v' },
      'rq-alloc': { type: 'string', short: 'r' },
      'area-size': { type: 'string', short: 'S' },
      'area-type': { type: 'string', short: 'A' },
      'cq-entries': { type: 'string', short: 'C' },
      'rq-entries': { type: 'string', short: 'R' },
      cpu: { type: 'string', short: 'c' },
    },
  })
  if (values.interface === undefined) throw new Error('name the interface: -i eth0')
  if (values.queue === undefined) throw new Error('name the receive queue: -q 0')
  const number = (text: string | undefined, without: number, most = Number.MAX_SAFE_INTEGER): number => {
    const value = text === undefined ? without : Number(text)
    if (Number.isInteger(value) && value >= 0 && value <= most) return value
    throw new Error(`"${text}" is not a number from 0 to ${most}`)
  }
  const defaults = SERVER_DEFAULTS
  return {
    device: deviceOf(values.interface, values.queue),
    cpu: values.cpu,
    options: {
      port: number(values.port, defaults.port, 65_535),
      size: number(values.size, defaults.size),
      verify: values.verify ?? false,
      rqAllocation: number(values['rq-alloc'], 0, 1) as 0 | 1,
      areaBytes: number(values['area-size'], defaults.areaBytes),
      areaType: number(values['area-type'], 0, 2) as 0 | 1 | 2,
      cqEntries: number(values['cq-entries'], defaults.cqEntries),
      rqEntries: number(values['rq-entries'], defaults.rqEntries),
    },
  }
}

const [, script = '', ...args] = process.argv
if (args.length > 0 && import.meta.url === pathToFileURL(script).href) {
  const { device, cpu, options } = parseServer(args)
  if (cpu !== undefined) spawnSync('taskset', ['-pc', cpu, String(process.pid)])
  const host = zcrx.openRingHost({ device })
  const { received, completions, requeues } = serve(host, options)
  console.log(`Connection terminated: received ${received}, cqes ${completions}, requeues ${requeues}`)
  host.close()
}
if (args.length === 0 && import.meta.url === pathToFileURL(script).href)
  console.log('it needs an interface: the first lines of this file say how it is called')
