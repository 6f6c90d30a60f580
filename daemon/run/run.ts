import { randomInt } from 'node:crypto'
import { type Logger, pino } from 'pino'
import {
  type CaptureNic,
  checkCapture,
  createServer,
  formatEndpoint,
  ImpairedNic,
  type Nic,
  openDevice,
  PcapNic,
  RateLimitNic,
  type Server,
  type ServerOptions,
} from '../api.ts'
import { type CaptureRequest, captureNic, captureReport } from '../capture.ts'
import { formatBytes, gigabits, round } from '../cli/format.ts'
import { type ImpairSpec, type ListenAddress, type SinkSpec, UsageError } from '../cli/parse.ts'
import { createSink, type Sink } from '../sinks/index.ts'
import { Receiver } from './receiver.ts'
import { type RunReport, renderRunReport } from './totals.ts'

/** A sink that keeps a buffer for longer is warned about. */
const HELD_TOO_LONG_MS = 5000
/** A file that is played is looked at so often, and is over after so many looks without news. */
const LOOK_MS = 50
const QUIET_LOOKS = 10
/** Connections that such a warning names. */
const HOLDERS_NAMED = 5

export interface RunOptions {
  /** A device string of the library's. */
  readonly device: string
  readonly listen: ListenAddress
  readonly sink: SinkSpec
  /** Absent: the library's default. */
  readonly areaBytes?: number
  /** Absent: nothing is captured. */
  readonly capture?: CaptureRequest
  readonly ownAddress: boolean
  /** Addresses of our own, `auto` among them for IPv6 from routers; absent: the one to listen on. */
  readonly addresses?: readonly string[]
  readonly gateways?: readonly string[]
  /** Addresses of our own are tested for duplicates first. */
  readonly dad: boolean
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
  openDevice(device: string): Nic
  createServer(options: ServerOptions): Promise<Server>
  createLogger(level: string): Logger
  print(text: string): void
}

export const SYSTEM: RunEnvironment = {
  openDevice,
  createServer,
  // Synchronous, so that nothing is lost when the process ends; a few lines a second at most.
  createLogger: (level) => pino({ level, base: null }, pino.destination({ fd: 2, sync: true })),
  print: (text) => void process.stdout.write(`${text}\n`),
}

/**
 * Receives until `signal` aborts (or, with `once`, the first connection has ended), then closes every connection, gives
 * the queue back and prints the totals. Returns the exit status: 1 when bytes of a connection did not all reach the sink, or
 * frames not all the capture.
 * @throws ZcrxError when device, sink or capture can't be opened
 */
export async function run(
  options: RunOptions,
  signal: AbortSignal,
  environment: RunEnvironment = SYSTEM,
): Promise<number> {
  const log = environment.createLogger(options.verbose ? 'debug' : 'info')
  if (options.capture !== undefined) checkCapture(options.capture)
  const sink = await createSink(options.sink)
  const receiver = new Receiver(sink, log)
  const addresses = addressesOf(options)
  const played = openPlayed(options, environment)
  const device = openWrapped(options, environment, log, played)
  const capture = openCapture(options, device ?? played, environment, log)
  const server = await environment.createServer({
    device: capture ?? device ?? played ?? options.device,
    port: options.listen.port,
    handler: receiver,
    ownAddress: options.ownAddress,
    // Without addresses of our own there is nothing to test.
    ...(options.ownAddress ? { dad: options.dad } : {}),
    ...(options.gateways === undefined ? {} : { gateway: options.gateways }),
    ...(options.vlan === undefined ? {} : { ip: { vlan: options.vlan } }),
    ...addresses,
    ...(options.areaBytes === undefined ? {} : { areaBytes: options.areaBytes }),
  })
  receiver.attach(server)
  const startedAt = performance.now()
  const { info } = server.nic
  log.info(
    {
      listen: `${server.address}:${server.port}`,
      addresses: server.addresses,
      device: info.name,
      queue: info.queue,
      driver: info.driver,
      mode: info.mode,
      mtu: info.mtu,
      areaBytes: server.area.length,
      sink: sink.name,
    },
    'listening',
  )
  tellHeld(server, log)
  const stopTelling = tellTraffic(options.statsEvery, server, receiver, log)
  let report: RunReport
  try {
    await (played === null
      ? untilDone(options.once, signal, receiver)
      : untilPlayed(played, signal, receiver, server))
    const why = played === null ? 'first connection ended: closing' : 'the file has ended: closing'
    log.info({ open: receiver.openConnections }, signal.aborted ? 'interrupted: closing' : why)
    await receiver.stop()
    report = collect(server, receiver, sink, (performance.now() - startedAt) / 1000)
  } finally {
    stopTelling()
    await server.close()
  }
  log.info({ device: info.name, queue: info.queue }, 'queue given back')
  // Complete only now: the last frames leave when the connections are given up.
  if (capture !== null) report = { ...report, capture: captureReport(capture) }
  environment.print(options.json ? JSON.stringify(report) : renderRunReport(report).join('\n'))
  const failed = played?.failed ?? null
  if (played !== null) log.info(played.notPlayed, 'frames that were not played')
  if (failed !== null) log.error({ code: failed.code }, `not all of the file was played: ${failed.message}`)
  return report.sinkFailures > 0 || report.capture?.error !== undefined || failed !== null ? 1 : 0
}

/** The server's addresses, and the one to listen on when it is not to be all. @throws UsageError */
function addressesOf({ addresses, listen }: RunOptions): Pick<ServerOptions, 'address' | 'listenOn'> {
  const { address } = listen
  if (addresses === undefined) return address === undefined ? {} : { address }
  if (address === undefined) return { address: addresses }
  if (addresses.some((text) => text.split('/')[0] === address))
    return { address: addresses, listenOn: address }
  throw new UsageError(`--listen ${address} is none of --address ${addresses.join(', ')}`)
}

/** A device that comes to its end by itself; null for any other. */
function openPlayed(options: RunOptions, environment: RunEnvironment): PcapNic | null {
  if (!options.device.startsWith('pcap:')) return null
  const nic = environment.openDevice(options.device)
  return nic instanceof PcapNic ? nic : null
}

/** The device with what is to happen to its frames; null when nothing is. */
function openWrapped(
  options: RunOptions,
  environment: RunEnvironment,
  log: Logger,
  played: Nic | null,
): Nic | null {
  const { impair, rateLimit } = options
  if (impair === undefined && rateLimit === undefined) return null
  let nic = played ?? environment.openDevice(options.device)
  try {
    if (rateLimit !== undefined) {
      nic = new RateLimitNic(nic, {
        receive: { bitsPerSecond: rateLimit },
        transmit: { bitsPerSecond: rateLimit },
      })
    }
    if (impair !== undefined) {
      const { seed = randomInt(2 ** 32), ...both } = impair
      log.warn({ ...both, seed }, 'frames are spoiled on purpose')
      nic = new ImpairedNic(nic, { seed, receive: both, transmit: both })
    }
    return nic
  } catch (error) {
    nic.close()
    throw error
  }
}

function openCapture(
  options: RunOptions,
  device: Nic | null,
  environment: RunEnvironment,
  log: Logger,
): CaptureNic | null {
  if (options.capture === undefined) return null
  const nic = captureNic(device ?? environment.openDevice(options.device), options.capture, (error) =>
    log.error({ code: error.code }, `the capture has ended, frames go on: ${error.message}`),
  )
  log.info({ files: nic.files }, 'capturing')
  return nic
}

function untilDone(once: boolean, signal: AbortSignal, receiver: Receiver): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (once) receiver.onRecord = () => resolve()
  })
}

/** The file has ended and what it brought was received: every connection is over, or nothing has come for a while. */
async function untilPlayed(
  nic: PcapNic,
  signal: AbortSignal,
  receiver: Receiver,
  server: Server,
): Promise<void> {
  let last = -1
  for (let quiet = 0; !signal.aborted && quiet < QUIET_LOOKS; ) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    const { rx, queued, user } = server.census()
    const moving = !nic.ended || rx + queued + user > 0 || receiver.receivedBytes !== last
    last = receiver.receivedBytes
    if (moving) quiet = 0
    else if (receiver.openConnections === 0) return
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
function tellTraffic(everyMs: number, server: Server, receiver: Receiver, log: Logger): () => void {
  if (everyMs <= 0) return () => {}
  let last = 0
  let lastAt = performance.now()
  const timer = setInterval(() => {
    const bytes = receiver.receivedBytes
    const now = performance.now()
    if (bytes !== last) {
      const { free, fill, rx, queued, user } = server.census()
      const gbps = round(gigabits(bytes - last, (now - lastAt) / 1000), 3)
      log.info(
        { gbps, bytes, connections: receiver.openConnections, niovs: { free, fill, rx, queued, user } },
        `receiving, ${formatBytes(bytes)} so far`,
      )
    }
    last = bytes
    lastAt = now
  }, everyMs)
  return () => clearInterval(timer)
}

function collect(server: Server, receiver: Receiver, sink: Sink, seconds: number): RunReport {
  const { info } = server.nic
  const { zeroCopiedBytes, copiedBytes, completions, frames, drops } = server.stats()
  return {
    driver: info.driver,
    mode: info.mode,
    device: info.name,
    queue: info.queue,
    listen: `${server.address}:${server.port}`,
    sink: sink.name,
    seconds: round(seconds, 3),
    ...receiver.totals,
    zeroCopiedBytes,
    copiedBytes,
    completions,
    frames,
    drops,
    niovs: server.census(),
    connectionList: receiver.records,
  }
}
