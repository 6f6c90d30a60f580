import { IpAddress } from '../address.ts'
import * as abi from '../uapi/abi/index.ts'
import { LinuxHost } from '../uapi/backend/linux/host.ts'
import { Ring } from '../uapi/ring/ring.ts'
import type { LatencyOrder, PeerFigures } from './latency-child.ts'

/**
 * The client of the `latency` bench: connections on a ring of Linux's, each of which sends a message and waits until all of it has come
 * back. The same whatever answers. It sleeps while it waits,
 * or looks all the time. Usage: latency-peer ADDRESS PORT CONNECTIONS BYTES POLLS
 */
const [address = '', ...numbers] = process.argv.slice(2)
const [port = 0, connections = 0, bytes = 0, polls = 0] = numbers.map(Number)
/** Connections that are opened at once. */
const TOGETHER = 64

const ring = Ring.queueInit(4096, new LinuxHost(), {
  flags: abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER,
})
const message = ring.arena.take(bytes).fill(0x5a)
const replies = Array.from({ length: connections }, () => ring.arena.take(bytes))
const fds: number[] = []
const sockaddr = abi.sockaddrOf(IpAddress.parse(address)!, port)
const to = ring.arena.take(sockaddr.length)
to.set(sockaddr)

/** The results of as many requests as are under way. */
function results(count: number): number[] {
  const all: number[] = []
  while (all.length < count) {
    const { userData, res } = ring.waitCqe()
    if (res < 0) throw new Error(`connect: ${abi.errnoName(res)}`)
    all[userData] = res
    ring.cqAdvance(1)
  }
  return all
}

for (let first = 0; first < connections; first += TOGETHER) {
  const count = Math.min(TOGETHER, connections - first)
  for (let i = 0; i < count; i++) ring.getSqe()!.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0).setData(i)
  ring.submit()
  const opened = results(count)
  for (let i = 0; i < count; i++) ring.getSqe()!.prepConnect(opened[i]!, to).setData(i)
  ring.submit()
  results(count)
  fds.push(...opened)
}

/** Of the `user_data` of a send; what is received has the connection's number alone. */
const SENT = 1 << 20

function run(echoes: number): PeerFigures {
  const times = new Float64Array(echoes)
  const begun = new Float64Array(connections)
  const got = new Uint32Array(connections)
  let asked = 0
  let done = 0
  const ask = (at: number): void => {
    if (asked === echoes) return
    asked++
    begun[at] = performance.now()
    got[at] = 0
    ring
      .getSqe()!
      .prepSend(fds[at]!, message)
      .setData(SENT + at)
    ring.getSqe()!.prepRecv(fds[at]!, replies[at]!).setData(at)
  }
  const start = performance.now()
  for (let at = 0; at < connections; at++) ask(at)
  while (done < echoes) {
    if (polls === 1) ring.submitAndGetEvents()
    else ring.submitAndWait(1)
    const seen = ring.forEachCqe(({ userData, res }) => {
      if (res <= 0) throw new Error(`a connection ended: ${abi.errnoName(res)}`)
      if (userData >= SENT) return
      got[userData]! += res
      if (got[userData]! < bytes) {
        ring.getSqe()!.prepRecv(fds[userData]!, replies[userData]!.subarray(got[userData])).setData(userData)
        return
      }
      times[done++] = (performance.now() - begun[userData]!) * 1000
      ask(userData)
    })
    ring.cqAdvance(seen)
  }
  const seconds = (performance.now() - start) / 1000
  times.sort()
  const at = (part: number): number => times[Math.floor((echoes - 1) * part)]!
  return { median: at(0.5), p99: at(0.99), echoesPerSecond: echoes / seconds }
}

process.on('message', ({ echoes }: LatencyOrder) => process.send?.(run(echoes)))
process.on('disconnect', () => process.exit())
process.send?.('ready')
