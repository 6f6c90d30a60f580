import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createServer, type Nic, RawNic, type Server, ZcrxError } from '../api.ts'
import { round } from '../cli/format.ts'
import { NetworkPair, systemEnvironment } from '../netns.ts'

const MTU = 1500
/** Some dozens of frames in each direction. */
const BYTES = 64 << 10
const AREA_BYTES = 1 << 20
/** On the scratch link a connection takes milliseconds. */
const PATIENCE_MS = 5000

/** What became of one way in. */
export interface Trial {
  readonly driver: string
  readonly mode: string
  readonly ok: boolean
  /** Sent by Linux's TCP, received here, sent back and found unchanged. */
  readonly bytes: number
  /** Frames that came in. */
  readonly frames: number
  /** From the connection to its end. */
  readonly ms: number
  /** Why it failed. */
  readonly error?: string
}

/** One way in, over the scratch link. */
interface ScratchWay {
  readonly driver: string
  readonly mode: string
  readonly address: string
  readonly ownAddress: boolean
  /** May throw. */
  open(): string | Nic
  /** To be done once the device is there. */
  ready?(): Promise<void>
}

/**
 * Sends some frames to zcrx and back over each way in, through a veth pair (for TAP, a TAP device) in two network namespaces of
 * their own, which are gone when this returns or throws, also when `signal` aborts (it throws the signal's reason then).
 * @throws ZcrxError when they can't be made
 */
export async function tryWays(signal: AbortSignal): Promise<Trial[]> {
  if (process.geteuid?.() !== 0)
    throw new ZcrxError('ZCRXD_NOT_ROOT', 'a scratch link needs root', 'sudo zcrxd doctor --try')
  const pair = await NetworkPair.create(MTU)
  const remove = (): void => pair.remove()
  process.once('exit', remove)
  try {
    const trials: Trial[] = []
    for (const way of scratchWays(pair)) {
      signal.throwIfAborted()
      trials.push(await tryWay(way, pair, signal))
    }
    signal.throwIfAborted()
    return trials
  } finally {
    process.off('exit', remove)
    pair.remove()
  }
}

function scratchWays(pair: NetworkPair): ScratchWay[] {
  const { receiver, sender, tap } = pair
  const netns = `/run/netns/${receiver.namespace}`
  const { address, device } = receiver
  const own = { address, ownAddress: false }
  return [
    {
      ...own,
      driver: 'xdp',
      mode: 'native',
      open: () => `xdp:${device}?mode=native&netns=${netns}`,
    },
    {
      ...own,
      driver: 'xdp',
      mode: 'generic',
      open: () => `xdp:${device}?mode=generic&netns=${netns}`,
    },
    { ...own, driver: 'packet', mode: 'tpacket_v3', open: () => `packet:${device}?netns=${netns}` },
    { ...own, driver: 'raw', mode: 'raw sockets', open: () => RawNic.open({ address, netns }) },
    {
      driver: 'tap',
      mode: 'vnet_hdr',
      address: tap.peerAddress,
      ownAddress: true,
      open: () => `tap:${tap.device}?netns=${sender.namespace}`,
      ready: () => pair.addTapAddress(),
    },
  ]
}

/** Echoes what a client in the sender's namespace sends. */
async function tryWay(way: ScratchWay, pair: NetworkPair, signal: AbortSignal): Promise<Trial> {
  const { driver, address, ownAddress } = way
  let { mode } = way
  let server: Server | null = null
  let bytes = 0
  let frames = 0
  try {
    server = await createServer({
      device: way.open(),
      address,
      ownAddress,
      port: 0,
      areaBytes: AREA_BYTES,
      handler: {
        onData(connection, offset, length) {
          bytes += length
          connection.send(server!.area.slice(offset, offset + length))
          return true
        },
        onEnd: (connection) => connection.close(),
      },
    })
    mode = server.nic.info.mode
    await way.ready?.()
    const ms = await callFrom(pair, address, server.port, signal)
    frames = server.stats().frames
    return { driver, mode, ok: bytes === BYTES, bytes, frames, ms: round(ms, 1) }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    if (server !== null) frames = server.stats().frames
    return { driver, mode, ok: false, bytes, frames, ms: 0, error: error.message }
  } finally {
    await server?.close()
  }
}

/** Milliseconds that the client says it took. */
function callFrom(pair: NetworkPair, address: string, port: number, signal: AbortSignal): Promise<number> {
  const { command, args } = NetworkPair.enter(pair.sender)
  // A child built by tsc lies beside this file.
  const peer = fileURLToPath(new URL('./peer.js', import.meta.url))
  const all = [...args, process.execPath, peer, address, `${port}`, `${BYTES}`]
  return new Promise((resolve, reject) => {
    execFile(
      command,
      all,
      { env: systemEnvironment(), timeout: PATIENCE_MS, signal },
      (error, stdout, stderr) => {
        if (error === null) resolve(Number(stdout))
        else reject(new Error(error.killed === true ? 'nothing came back' : stderr.trim() || error.message))
      },
    )
  })
}
