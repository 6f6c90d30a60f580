import type { ChildProcess } from 'node:child_process'
import type { Nic } from '../../driver/nic.ts'
import type { XdpMode } from '../../driver/xdp/index.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import { script } from '../driver/xdp/setup.ts'
import { Endpoint, OUR_PERIOD, PEER_PERIOD, patternDigest, type Stream } from './endpoint.ts'
import { PYTHON } from './python.ts'
import type { LinuxPeer, Way } from './ways.ts'

export type End = 'Linux' | 'we'

/** One cell of the matrix of connections between the stack and Linux. */
export interface Cell {
  opens: End
  closes: End
  version: 4 | 6
  /** Bytes from us and to us. */
  send: number
  receive: number
  /** Connections in all, and how many of them are open at a time. */
  times?: number
  atOnce?: number
  /** Who closes first shuts down writing only, and what the other end sends follows that. */
  half?: boolean
}

/** What one end saw of one connection. */
export interface Seen {
  received: number
  digest: string
  errno: number
}

export interface Outcome {
  linux: (Seen & { sent: number })[]
  ours: Seen[]
}

export const PORT = 9000
/** Addresses that the stack alone has. */
export const OWN4 = '10.77.0.99'
export const OWN6 = 'fd00:77::99'

let cellsRan = 0

/** Called by every cell once it has held. */
export function cellRan(): void {
  cellsRan++
}

/** The line that says how much of a family of the matrix was done. */
export function reportCells(family: string, reason: string): void {
  const text =
    reason === '' ? `${cellsRan} cells ran, 0 skipped` : `0 cells ran, all of them skipped: ${reason}`
  process.stdout.write(`matrix: ${text} (${family})\n`)
}

export interface EndpointOptions {
  version: 4 | 6
  /** The address is the stack's alone. */
  own?: boolean
  /** Of XDP. */
  mode?: XdpMode
  wrap?: (nic: Nic) => Nic
  tcp?: Partial<TcpConfig>
}

export function openEndpoint(way: Way, options: EndpointOptions): Endpoint {
  const { version, own = false, mode, wrap = (nic: Nic) => nic, tcp } = options
  const host = way.hostAddress(version)
  return new Endpoint({
    device: wrap(way.open(version, mode)),
    address: own || host === null ? (version === 4 ? OWN4 : OWN6) : host,
    ownAddress: own || host === null,
    ...(tcp === undefined ? {} : { tcp }),
  })
}

/** Linux's end of the connections of a cell. */
export class Peer {
  readonly child: ChildProcess
  readonly ready: Promise<void>
  readonly #result: Promise<string>

  constructor(pair: LinuxPeer, cell: Cell, ourAddress: string) {
    const theirs = cell.version === 4 ? pair.peerAddress : pair.peerAddress6
    const role = cell.closes === 'Linux' ? 'first' : 'last'
    this.child = pair.start(
      pair.peer,
      PYTHON,
      script('exchange.py'),
      cell.opens === 'Linux' ? 'connect' : 'accept',
      cell.opens === 'Linux' ? ourAddress : theirs,
      `${PORT}`,
      `${cell.receive}`,
      `${cell.send}`,
      cell.half === true ? `half-${role}` : role,
      `${cell.times ?? 1}`,
      `${cell.atOnce ?? 1}`,
    )
    let text = ''
    let errors = ''
    let ready: () => void
    this.ready = new Promise((resolve) => {
      ready = resolve
    })
    this.child.stdout!.setEncoding('utf8').on('data', (part: string) => {
      text += part
      if (text.startsWith('ready\n')) ready()
    })
    this.child.stderr!.setEncoding('utf8').on('data', (part: string) => {
      errors += part
    })
    this.#result = new Promise((resolve, reject) => {
      this.child.once('close', (code) => {
        ready()
        if (code === 0) resolve(text)
        else reject(new Error(`the peer ended with ${code}: ${errors}`))
      })
    })
    this.#result.catch(() => {})
  }

  async result(): Promise<Outcome['linux']> {
    const lines = (await this.#result).trim().split('\n')
    return JSON.parse(lines.at(-1)!)
  }
}

/** Our end of one connection of a cell. */
export async function play(stream: Stream, cell: Cell): Promise<Seen> {
  let errno: number
  if (cell.half === true && cell.closes === 'we') {
    errno = await stream.send(cell.send)
    await stream.shutdown()
    errno ||= await stream.ended
  } else if (cell.half === true) {
    errno = await stream.ended
    errno ||= await stream.send(cell.send)
  } else {
    const incoming = cell.closes === 'we' ? stream.arrived(cell.receive) : stream.ended
    const [end, sent] = await Promise.all([incoming, stream.send(cell.send)])
    errno = (end ?? 0) || sent
  }
  const { received } = stream
  await stream.close()
  return { received, digest: stream.digest(), errno }
}

/** Runs a cell's connections to their end at both ends. @throws Error with what the stack knows when it takes too long */
export async function runCell(
  pair: LinuxPeer,
  endpoint: Endpoint,
  cell: Cell,
  limitMs = 40_000,
): Promise<Outcome> {
  const times = cell.times ?? 1
  const ours: Promise<Seen>[] = []
  let peer: Peer | null = null
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${limitMs} ms: ${describe(endpoint)}`)), limitMs)
  })
  const whole = async (): Promise<Outcome> => {
    if (cell.opens === 'Linux') {
      const accepted = new Promise<void>((resolve) => {
        const taken = (stream: Stream): void => {
          ours.push(play(stream, cell))
          if (ours.length === times) resolve()
        }
        void endpoint.listen(PORT, taken).then(() => {
          peer = new Peer(pair, cell, endpoint.host.address.toString())
        })
      })
      await accepted
    } else {
      peer = new Peer(pair, cell, '')
      await peer.ready
      const address = cell.version === 4 ? pair.peerAddress : pair.peerAddress6
      const atOnce = cell.atOnce ?? 1
      for (let done = 0; done < times; done += atOnce) {
        const one = async (): Promise<Seen> => play(await endpoint.connect(address, PORT), cell)
        const batch = Array.from({ length: atOnce }, one)
        ours.push(...batch)
        await Promise.all(batch)
      }
    }
    return { ours: await Promise.all(ours), linux: await peer!.result() }
  }
  try {
    return await Promise.race([whole(), late])
  } finally {
    clearTimeout(timer)
    ;(peer as Peer | null)?.child.kill('SIGKILL')
  }
}

/** What is expected of a cell: every byte of both directions, and no error at either end. */
export function expectedOutcome(cell: Cell): Outcome {
  const times = cell.times ?? 1
  const ours = { received: cell.receive, digest: patternDigest(PEER_PERIOD, cell.receive), errno: 0 }
  const linux = { received: cell.send, digest: patternDigest(OUR_PERIOD, cell.send), errno: 0 }
  return {
    ours: Array.from({ length: times }, () => ours),
    linux: Array.from({ length: times }, () => ({ sent: cell.receive, ...linux })),
  }
}

/** State of an endpoint, for the message of a failure. */
export function describe(endpoint: Endpoint): string {
  const { stack } = endpoint.host
  const counters = Object.entries(stack.counters).filter(([, value]) => value !== 0)
  return JSON.stringify({
    connections: [...stack.tcp].map((tcb) => ({
      state: tcb.state,
      una: tcb.snd.una,
      nxt: tcb.snd.nxt,
      buffered: tcb.snd.buffered,
      window: tcb.snd.wnd,
    })),
    census: endpoint.census(),
    counters: Object.fromEntries(counters),
    drops: stack.drops(),
  })
}
