import { resolve } from 'node:path'
import { ZcrxError } from '../api.ts'
import { NetworkPair } from '../netns.ts'
import type { DemoDriver, DemoEvents, DemoOptions } from './options.ts'
import type { OpenRequest } from './protocol.ts'

const CONGESTION_CONTROL = 'cubic'
/** The most that a TAP device takes. */
const TAP_MTU = 65_521

/** Where the two ends are. */
export interface Place {
  readonly driver: DemoDriver
  readonly pair: NetworkPair | null
  readonly fallback?: { reason: string; remedy: string }
  /** To be done once zcrx has its queue. */
  ready?(): Promise<void>
}

/** Makes the namespaces and links that a driver takes. @throws ZcrxError when a driver that was asked for can't be had */
export async function choosePlace(options: DemoOptions, events: DemoEvents): Promise<Place> {
  const { driver = 'xdp', mtu } = options
  if (driver === 'memory') return { driver, pair: null }
  try {
    if (process.geteuid?.() !== 0) {
      throw new ZcrxError(
        'ZCRXD_NOT_ROOT',
        `network namespaces and network queues need root, and this is uid ${process.geteuid?.()}`,
        'run it as root: sudo npx zcrxd demo',
      )
    }
    const queues = options.workers ?? 1
    const many = queues === 1 ? '' : `, ${queues} queues`
    events.onStep?.(`making two network namespaces and a veth pair, MTU ${mtu}${many}`)
    const pair = await NetworkPair.create(mtu, queues)
    const remove = (): void => pair.remove()
    process.once('exit', remove)
    const choose = async (link: () => Promise<void>): Promise<void> => {
      try {
        await link()
      } catch (error) {
        events.onStep?.(`congestion control stays the machine's own: ${(error as Error).message}`)
      }
    }
    await choose(() => pair.setCongestionControl(CONGESTION_CONTROL))
    if (driver !== 'tap') return { driver, pair }
    return {
      driver,
      pair,
      // The device is zcrx's: there is none before it has it.
      async ready() {
        await pair.addTapAddress()
        await choose(() => pair.setCongestionControl(CONGESTION_CONTROL, pair.tap))
      },
    }
  } catch (error) {
    if (options.driver !== undefined || !(error instanceof ZcrxError)) throw error
    return fallBack(error, events)
  }
}

/** The memory link instead of what can't be had. */
export function fallBack(error: ZcrxError, events: DemoEvents): Place {
  const { remedy } = error
  const tail = `: ${remedy}`
  const reason =
    remedy !== '' && error.message.endsWith(tail) ? error.message.slice(0, -tail.length) : error.message
  events.onStep?.(`no AF_XDP here: ${reason}`)
  if (remedy !== '') events.onStep?.(`to run over the real one: ${remedy}`)
  events.onStep?.('running over the memory link instead; node:net gets its stream over 127.0.0.1')
  return { driver: 'memory', pair: null, fallback: { reason, remedy } }
}

/** What a receiver is told to open. */
export function openRequest(who: 'zcrx' | 'node:net', place: Place, options: DemoOptions): OpenRequest {
  const { pair, driver } = place
  const end = pair?.receiver
  const common = {
    type: 'open',
    address: end?.address ?? '127.0.0.1',
    interface: end?.device ?? '',
    mtu: options.mtu,
    ownAddress: false,
    device: '',
  } as const
  if (who === 'node:net') return { ...common, kind: 'node' }
  // Only what zcrx sees: node:net's frames are Linux's, where tcpdump sees them.
  const { capture, workers } = options
  const zcrx = {
    ...common,
    ...(workers === undefined ? {} : { workers }),
    ...(capture === undefined ? {} : { capture: { ...capture, file: resolve(capture.file) } }),
  }
  if (pair === null) return { ...zcrx, kind: 'memory' }
  const { device, address } = pair.receiver
  const mode = options.mode === 'auto' ? '' : `?mode=${options.mode}`
  switch (driver) {
    case 'tap': {
      // The far end of a wire whose near end the sender's kernel has.
      const { tap, sender } = pair
      const mtu = Math.min(options.mtu, TAP_MTU)
      const text = `tap:${tap.device}?mtu=${mtu}&netns=${sender.namespace}`
      return { ...zcrx, kind: 'zcrx', device: text, address: tap.peerAddress, ownAddress: true }
    }
    case 'packet':
      return { ...zcrx, kind: 'zcrx', device: `packet:${device}` }
    case 'raw':
      return { ...zcrx, kind: 'zcrx', device: `raw:${address}` }
    default:
      return { ...zcrx, kind: 'zcrx', device: `xdp:${device}${workers === undefined ? '/0' : ''}${mode}` }
  }
}
