import { randomInt } from 'node:crypto'
import type { Logger } from 'pino'
import {
  type CaptureNic,
  checkCapture,
  createServer,
  formatEndpoint,
  isLinuxDevice,
  type Nic,
  type NicModule,
  type OpenOptions,
  openDevice,
  openDevices,
  PcapNic,
  parseDevice,
  planQueues,
  type Server,
  type ServerOptions,
} from '../api.ts'
import { type CaptureRequest, captureNic, captureReport } from '../capture.ts'
import { formatBytes, gigabits, round } from '../cli/format.ts'
import { type ImpairSpec, type ListenAddress, type SinkSpec, UsageError } from '../cli/parse.ts'
import { EXIT_CUT, EXIT_FAILED } from '../cli/report.ts'
import { createLogger, droppedLogLines, printReport } from '../log/index.ts'
import { createSink, type Sink } from '../sinks/index.ts'
import { checkLinux, setUpQueue, whereOnLinux } from './linux.ts'
import { Queues } from './queues.ts'
import { type RunReport, renderRunReport, workerReports } from './totals.ts'
import { wrapNic } from './wrap.ts'
import type { WrappedQueues } from './wrapped-queue.ts'

/** A sink that keeps a buffer for longer is warned about. */
const HELD_TOO_LONG_MS = 5000
/** A file that is played is looked at so often, and is over after so many looks without news. */
const LOOK_MS = 50
const QUIET_LOOKS = 10
/** As long as the interface has no address of the kind that is listened at. */
const NOWHERE = 'not listening anywhere: there is no such address, nobody can connect'
/** Connections that such a warning names. */
const HOLDERS_NAMED = 5

export interface RunOptions {
  /** A device string of the library's. */
  readonly device: string
  /** Threads, each with a queue; absent: none, all is done on this one. */
  readonly workers?: number | 'queues'
  /** So long (microseconds) frames are looked for before this thread, and the workers, sleep; Infinity: never. Absent: the library's default. */
  readonly busyPollUs?: number
  /** One, or several. */
  readonly listen: ListenAddress | readonly ListenAddress[]
  readonly sink: SinkSpec
  /** The queue of `linux:INTERFACE/QUEUE` is set up for zero-copy receive first, and put back at the end. Default false. */
  readonly apply?: boolean
  /** Absent: the library's default. */
  readonly areaBytes?: number
  /** Absent: nothing is captured. */
  readonly capture?: CaptureRequest
  readonly ownAddress: boolean
  /** Ports that a service of the host has are taken from it, over xdp. Default false. */
  readonly takeOver?: boolean
  /** Addresses of our own, `auto` among them for IPv6 from routers; absent: the one to listen on. */
  readonly addresses?: readonly string[]
  readonly gateways?: readonly string[]
  /** Addresses of our own are tested for duplicates first. */
  readonly dad: boolean
  /** Where the secret of stable addresses is kept; absent: the library's default. */
  readonly secretFile?: string
  /** VLAN ids, outer first. */
  readonly vlan?: readonly number[]
  readonly impair?: ImpairSpec
  /** Bits a second in each direction. */
  readonly rateLimit?: number
  /** Ends when the first connection has ended. */
  readonly once: boolean
  readonly json: boolean
  readonly verbose: boolean
  /** Milliseconds between log lines about the traffic; 0: none. */
  readonly statsEvery: number
}

/** What `run` needs of the world; tests bring their own. */
export interface RunEnvironment {
  openDevice(device: string, options: OpenOptions): Nic
  openDevices(device: string, options: OpenOptions): Nic[]
  createServer(options: ServerOptions): Promise<Server>
  createLogger(level: string): Logger
  /** Log lines that were dropped so far. */
  droppedLogLines(): number
  /** Prints the totals. A promise of a string says why they were not printed. */
  print(text: string): unknown
}

export const SYSTEM: RunEnvironment = {
  openDevice,
  openDevices,
  createServer,
  createLogger,
  droppedLogLines,
  print: printReport,
}

/**
 * Receives until `signal` aborts (or, with `once`, the first connection has ended), then closes every connection, gives
 * the queue back and prints the totals. Returns the exit status: `EXIT_FAILED` when bytes of a connection did not all reach the
 * sink, or frames not all the capture, or the device went away; else `EXIT_CUT` when a transfer was cut.
 * @throws ZcrxError when device, sink or capture can't be opened
 */
export async function run(
  options: RunOptions,
  signal: AbortSignal,
  environment: RunEnvironment = SYSTEM,
): Promise<number> {
  const log = environment.createLogger(options.verbose ? 'debug' : 'info')
  if (isLinuxDevice(options.device)) checkLinux(options)
  else if (options.apply === true) throw new UsageError('--apply sets up linux:INTERFACE/QUEUE only')
  if (options.capture !== undefined) checkCapture(options.capture)
  const sink = await createSink(options.sink)
  try {
    const undo = setUpQueue(options, log)
    try {
      return await receive(options, signal, environment, log, sink)
    } finally {
      await undo()
    }
  } finally {
    await sink.close?.()
  }
}

async function receive(
  options: RunOptions,
  signal: AbortSignal,
  environment: RunEnvironment,
  log: Logger,
  sink: Sink,
): Promise<number> {
  const where = isLinuxDevice(options.device) ? whereOnLinux(options) : whereOf(options)
  const { devices, capture, played } =
    options.workers === undefined
      ? openDevicesOf(options, environment, log)
      : { devices: [deviceOfWorkers(options, log)], capture: null, played: null }
  const queues = await Queues.open(
    devices,
    sink,
    log,
    {
      ...(options.ownAddress ? { ownAddress: true } : {}),
      ...(options.takeOver === true ? { takeOver: true } : {}),
      ...(options.workers === undefined ? {} : { workers: options.workers }),
      ...(options.busyPollUs === undefined ? {} : { busyPoll: options.busyPollUs }),
      ...(options.busyPollUs === undefined || options.workers === undefined
        ? {}
        : { spinUs: options.busyPollUs }),
      // Without addresses of our own there is nothing to test.
      ...(options.ownAddress ? { dad: options.dad } : {}),
      ...(options.secretFile === undefined ? {} : { secretFile: options.secretFile }),
      ...(options.gateways === undefined ? {} : { gateway: options.gateways }),
      ...(options.vlan === undefined ? {} : { ip: { vlan: options.vlan } }),
      ...where,
      ...(options.areaBytes === undefined ? {} : { areaBytes: options.areaBytes }),
    },
    environment.createServer,
  )
  const { server } = queues
  const startedAt = performance.now()
  const { info } = server.nic
  log.info(
    {
      listen: server.listening.join(', '),
      addresses: server.addresses,
      device: info.name,
      queue: info.queue,
      ...(queues.count > 1 ? { queues: queues.count } : {}),
      ...(options.workers === undefined ? {} : { workers: server.queues }),
      driver: info.driver,
      mode: info.mode,
      mtu: info.mtu,
      areaBytes: server.area.length,
      sink: sink.name,
    },
    server.listening.length > 0 ? 'listening' : NOWHERE,
  )
  tellLeftovers(sink, log)
  for (const queue of queues.all) {
    for (const note of queue.server.notes)
      log.info({ device: info.name, queue: queue.server.nic.info.queue }, note)
    tellHeld(queue.server, log)
  }
  tellAddresses(server, log)
  const lost = tellQueuesGone(queues, log)
  const stopTelling = tellTraffic(options.statsEvery, queues, log)
  let report: RunReport
  let gone: Error | null = null
  try {
    const done =
      played === null ? untilDone(options.once, signal, queues) : untilPlayed(played, signal, queues)
    gone = await Promise.race([done.then(() => null), untilGone(queues)])
    if (gone === null) {
      const why = played === null ? 'first connection ended: closing' : 'the file has ended: closing'
      log.info({ open: queues.openConnections }, signal.aborted ? 'interrupted: closing' : why)
    } else {
      const { code } = gone as NodeJS.ErrnoException
      log.error(
        { code, open: queues.openConnections },
        `${gone.message}: closing, so that it can be started anew`,
      )
    }
    await queues.stop()
    report = collect(options, queues, sink, (performance.now() - startedAt) / 1000)
  } finally {
    stopTelling()
    await queues.close()
  }
  log.info({ device: info.name, queue: info.queue }, 'queue given back')
  // Complete only now: the last frames leave when the connections are given up.
  if (capture !== null) report = { ...report, capture: captureReport(capture) }
  report = { ...report, logLinesDropped: environment.droppedLogLines() }
  const unprinted = await environment.print(
    options.json ? JSON.stringify(report) : renderRunReport(report).join('\n'),
  )
  if (typeof unprinted === 'string') log.error({ code: unprinted }, 'the totals could not be printed')
  const failed = played?.failed ?? null
  if (played !== null) log.info(played.notPlayed, 'frames that were not played')
  if (failed !== null) log.error({ code: failed.code }, `not all of the file was played: ${failed.message}`)
  // Who reads them may have gone away: that is no failure of ours.
  const unheard = typeof unprinted === 'string' && unprinted !== 'EPIPE'
  if (report.sinkFailures > 0 || report.capture?.error !== undefined) return EXIT_FAILED
  if (failed !== null || unheard || gone !== null || lost.length > 0) return EXIT_FAILED
  return report.cut > 0 ? EXIT_CUT : 0
}

function tellLeftovers({ leftovers }: Sink, log: Logger): void {
  if (leftovers === undefined || leftovers.count === 0) return
  const { count, names } = leftovers
  log.warn({ count, files: names }, 'files of earlier runs are not whole: they stay as they are')
}

/** The server's addresses, and where to listen. @throws UsageError */
function whereOf(options: RunOptions): Pick<ServerOptions, 'address' | 'port' | 'listenOn' | 'listen'> {
  const { addresses } = options
  const all = [options.listen].flat() as readonly ListenAddress[]
  const named = all.flatMap(({ address }) => (address === undefined || isWildcard(address) ? [] : [address]))
  const [first, ...more] = all
  const listen =
    more.length > 0
      ? { listen: all }
      : {
          port: first!.port,
          ...(first!.address === undefined ? {} : { listenOn: first!.address }),
        }
  if (addresses === undefined) {
    if (named.length < all.length) return listen
    const address = [...new Set(named)]
    // What it listens on is all it has.
    return more.length > 0 ? { ...listen, address } : { port: first!.port, address: address[0]! }
  }
  for (const address of named) {
    if (addresses.some((text) => text.split('/')[0] === address)) continue
    throw new UsageError(`--listen ${address} is none of --address ${addresses.join(', ')}`)
  }
  return { ...listen, address: addresses }
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::'
}

/** Says where it can be reached when that changes with the addresses of the interface. */
function tellAddresses(server: Server, log: Logger): void {
  server.onAddresses(({ listening, failures }) => {
    for (const failure of failures)
      log.error({ err: failure }, `not listening at a new address: ${(failure as Error).message}`)
    if (listening.length > 0) log.info({ listen: listening.join(', ') }, 'listening at other addresses')
    else log.warn(NOWHERE)
  })
}

function openOptions({ areaBytes }: RunOptions): OpenOptions {
  return areaBytes === undefined ? {} : { areaBytes }
}

/**
 * What the queues are opened from, the capture of the only one, and the device that comes to its end by itself if it is one. @throws ZcrxError, UsageError
 */
function openDevicesOf(
  options: RunOptions,
  environment: RunEnvironment,
  log: Logger,
): { devices: (Nic | string)[]; capture: CaptureNic | null; played: PcapNic | null } {
  if (isLinuxDevice(options.device)) return { devices: [options.device], capture: null, played: null }
  const spec = parseDevice(options.device)
  const wrapped = options.impair !== undefined || options.rateLimit !== undefined
  if (spec.driver === 'xdp' && spec.queues > 1) {
    if (options.capture !== undefined)
      throw new UsageError(`--capture takes one queue, ${options.device} has ${spec.queues}`)
    const nics = environment.openDevices(options.device, openOptions(options))
    return {
      devices: wrapped ? nics.map((nic) => wrap(nic, options, log)) : nics,
      capture: null,
      played: null,
    }
  }
  if (!wrapped && options.capture === undefined && spec.driver !== 'pcap')
    return { devices: [options.device], capture: null, played: null }
  const device = environment.openDevice(options.device, openOptions(options))
  const nic = wrap(device, options, log)
  const capture = openCapture(options, nic, log)
  return { devices: [capture ?? nic], capture, played: device instanceof PcapNic ? device : null }
}

function wrap(nic: Nic, options: RunOptions, log: Logger): Nic {
  return wrapNic(nic, options, (spoils) => log.warn(spoils, 'frames are spoiled on purpose'))
}

/** What each worker is to open. @throws UsageError, ArgumentError */
function deviceOfWorkers(options: RunOptions, log: Logger): string | NicModule {
  const { device, workers, impair, rateLimit, areaBytes } = options
  if (options.capture !== undefined)
    throw new UsageError('--capture is of one queue on the main thread: leave out --workers')
  if (parseDevice(device).driver === 'pcap')
    throw new UsageError(`${device} is played on the main thread: leave out --workers`)
  if (impair === undefined && rateLimit === undefined) return device
  const seeded = impair === undefined ? {} : { impair: { seed: randomInt(2 ** 32), ...impair } }
  if (seeded.impair !== undefined) log.warn(seeded.impair, 'frames are spoiled on purpose')
  const requests = planQueues(device, workers!)
  const data: WrappedQueues = {
    requests,
    ...seeded,
    ...(rateLimit === undefined ? {} : { rateLimit }),
    ...(areaBytes === undefined ? {} : { areaBytes }),
  }
  return { module: new URL('./wrapped-queue.js', import.meta.url).href, data, count: requests.length }
}

/** Says of each queue that went away while others go on. Returns the list of them, which grows. */
function tellQueuesGone(queues: Queues, log: Logger): readonly Error[] {
  const gone: Error[] = []
  for (const { server } of queues.all) {
    server.onQueueGone(({ queue, error }) => {
      gone.push(error)
      log.error(
        { worker: queue, code: error.code },
        `${error.message}; its connections have ended, those of the others go on`,
      )
    })
  }
  return gone
}

function openCapture(options: RunOptions, device: Nic, log: Logger): CaptureNic | null {
  if (options.capture === undefined) return null
  const nic = captureNic(device, options.capture, (error) =>
    log.error({ code: error.code }, `the capture has ended, frames go on: ${error.message}`),
  )
  log.info({ files: nic.files }, 'capturing')
  return nic
}

function untilDone(once: boolean, signal: AbortSignal, queues: Queues): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (once) queues.onRecord(resolve)
  })
}

/** A device has gone away: what is left of it is deaf, and the run is over. */
function untilGone(queues: Queues): Promise<Error> {
  return new Promise((resolve) => {
    for (const { server } of queues.all) server.onGone(resolve)
  })
}

/** The file has ended and what it brought was received: every connection is over, or nothing has come for a while. */
async function untilPlayed(nic: PcapNic, signal: AbortSignal, queues: Queues): Promise<void> {
  let last = -1
  for (let quiet = 0; !signal.aborted && quiet < QUIET_LOOKS; ) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    const { rx, queued, user } = queues.census()
    const moving = !nic.ended || rx + queued + user > 0 || queues.receivedBytes !== last
    last = queues.receivedBytes
    if (moving) quiet = 0
    else if (queues.openConnections === 0) return
    else quiet++
  }
}

/** Warns of a sink that is slow to give buffers back: its peers are being held up. */
function tellHeld(server: Server, log: Logger): void {
  server.onHeld(HELD_TOO_LONG_MS, ({ buffers, oldestMs, holders }) => {
    const connections = holders.slice(0, HOLDERS_NAMED).map(({ connection, buffers: count }) => {
      const who =
        connection === null ? 'ended' : formatEndpoint(connection.remoteAddress, connection.remotePort)
      return `${who} ${count}`
    })
    log.warn({ buffers, oldestMs, connections }, 'the sink keeps buffers for long')
  })
}

/** Logs the rate now and then while bytes arrive. Returns what stops it. */
function tellTraffic(everyMs: number, queues: Queues, log: Logger): () => void {
  if (everyMs <= 0) return () => {}
  let last = 0
  let lastAt = performance.now()
  const timer = setInterval(() => {
    const bytes = queues.receivedBytes
    const now = performance.now()
    if (bytes !== last) {
      const { free, fill, rx, queued, user } = queues.census()
      const gbps = round(gigabits(bytes - last, (now - lastAt) / 1000), 3)
      log.info(
        {
          gbps,
          bytes,
          connections: queues.openConnections,
          held: queues.heldConnections,
          niovs: { free, fill, rx, queued, user },
        },
        `receiving, ${formatBytes(bytes)} so far`,
      )
    }
    last = bytes
    lastAt = now
  }, everyMs)
  return () => clearInterval(timer)
}

function collect({ workers }: RunOptions, queues: Queues, sink: Sink, seconds: number): RunReport {
  const { server } = queues
  const { info } = server.nic
  const { zeroCopiedBytes, copiedBytes, completions, frames, drops } = queues.stats()
  return {
    driver: info.driver,
    mode: info.mode,
    device: info.name,
    queue: info.queue,
    queues: queues.count,
    listen: server.listening.join(', '),
    sink: sink.name,
    seconds: round(seconds, 3),
    ...queues.totals,
    zeroCopiedBytes,
    copiedBytes,
    completions,
    frames,
    drops,
    niovs: queues.census(),
    ...(workers === undefined ? {} : { workers: workerReports(server) }),
    openConnections: queues.heldConnections,
    logLinesDropped: 0,
    connectionList: queues.records,
  }
}
