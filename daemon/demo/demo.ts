import { checkCapture, ZcrxError } from '../api.ts'
import { liveCongestionControl } from '../netns.ts'
import { Program } from './child.ts'
import { splitBytes } from './content.ts'
import type { DemoDriver, DemoEvents, DemoOptions } from './options.ts'
import { choosePlace, fallBack, openRequest, type Place } from './place.ts'
import type {
  ConnectRequest,
  OpenRequest,
  PassKind,
  Progress,
  ReceiverReply,
  ReceiverRequest,
  SenderReply,
  SenderRequest,
} from './protocol.ts'
import { type DemoReport, type Pass, type StackIdentity, type StackReport, stackReport } from './report.ts'

/** Nothing arriving for so long means that nothing will. */
const STALL_MS = 30_000
const PROGRESS_MS = 200

/** More connections than these show nothing more and cost the sender memory (1 MiB each). */
export const MAX_DEMO_FLOWS = 1024

/** More queues than these no link of the demo's has. */
export const MAX_DEMO_WORKERS = 16

/** Bytes of each pass unless asked otherwise: some seconds in all on any way in. */
export const DEFAULT_BYTES: Readonly<Record<DemoDriver, number>> = {
  xdp: 2 * 2 ** 30,
  tap: 2 * 2 ** 30,
  packet: 2 * 2 ** 30,
  raw: 256 * 2 ** 20,
  memory: 256 * 2 ** 20,
}

/**
 * Sends the same streams to zcrx and to `node:net`, each once verified and once measured. Everything it makes is removed
 * before it returns or throws, also when `signal` aborts (it throws the signal's reason then).
 * @throws ZcrxError when `driver` was asked for and can't be had, or the capture can't be written
 */
export async function runDemo(
  options: DemoOptions,
  events: DemoEvents,
  signal: AbortSignal,
): Promise<DemoReport> {
  if (options.capture !== undefined) checkCapture(options.capture)
  let place = await choosePlace(options, events)
  try {
    let zcrx: StackReport
    try {
      zcrx = await runReceiver('zcrx', place, options, events, signal)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      if (place.driver === 'memory' || options.driver !== undefined) throw error.cause
      place.pair?.remove()
      place = fallBack(error.cause, events)
      zcrx = await runReceiver('zcrx', place, options, events, signal)
    }
    const peer = await runReceiver('node:net', place, options, events, signal)
    return {
      ...zcrx,
      ok: zcrx.problems.length === 0 && peer.problems.length === 0,
      ...(place.fallback === undefined ? {} : { fallback: place.fallback }),
      peer,
    }
  } finally {
    place.pair?.remove()
  }
}

/** The queue could not be opened: the addon, a permission, the kernel. What fails later is no reason to fall back. */
class Unavailable extends Error {
  declare readonly cause: ZcrxError

  constructor(cause: ZcrxError) {
    super(cause.message, { cause })
  }
}

/** Both passes of one receiver, in one pair of processes. */
async function runReceiver(
  who: 'zcrx' | 'node:net',
  place: Place,
  options: DemoOptions,
  events: DemoEvents,
  signal: AbortSignal,
): Promise<StackReport> {
  signal.throwIfAborted()
  const request = openRequest(who, place, options)
  const flowBytes = splitBytes(options.bytes ?? DEFAULT_BYTES[place.driver], options.flows)
  const receiver = new Program<ReceiverRequest, ReceiverReply>('receiver', place.pair?.receiver)
  // Over the memory link zcrx is its own sender.
  const sender =
    request.kind === 'memory' ? null : new Program<SenderRequest, SenderReply>('sender', place.pair?.sender)
  const abort = (): void => {
    receiver.abandon(signal.reason)
    sender?.abandon(signal.reason)
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    receiver.send(request)
    const ready = await receiver.expect('ready').catch((error: unknown) => {
      throw error instanceof ZcrxError ? new Unavailable(error) : error
    })
    if (request.kind === 'zcrx') await place.ready?.()
    const { workers } = request
    const threads = workers === undefined ? '' : `, ${workers} ${workers === 1 ? 'worker' : 'workers'}`
    events.onStep?.(`${who} receives: ${ready.driver}, ${ready.mode}, MTU ${ready.mtu}${threads}`)
    if (request.capture !== undefined) events.onStep?.(`capturing its frames to ${options.capture?.file}`)
    const session = {
      who,
      request,
      identity: ready,
      port: ready.port,
      flowBytes,
      receiver,
      sender,
      place,
      events,
    }
    const verified = await runPass(session, 'verified')
    const measured = await runPass(session, 'measured')
    return stackReport(ready, flowBytes, verified.pass, measured.pass, measured.congestionControl)
  } finally {
    signal.removeEventListener('abort', abort)
    await Promise.all([receiver.stop({ type: 'close' }), sender?.stop()])
  }
}

interface Session {
  readonly who: string
  readonly request: OpenRequest
  readonly identity: StackIdentity
  readonly port: number
  readonly flowBytes: readonly number[]
  readonly receiver: Program<ReceiverRequest, ReceiverReply>
  readonly sender: Program<SenderRequest, SenderReply> | null
  readonly place: Place
  readonly events: DemoEvents
}

async function runPass(
  session: Session,
  pass: PassKind,
): Promise<{ pass: Pass; congestionControl: string | undefined }> {
  const { who, receiver, sender, flowBytes, events, place, request, port } = session
  const bytes = flowBytes.reduce((sum, each) => sum + each, 0)
  const watch = watchProgress(session, (progress) => events.onProgress?.(who, pass, progress, bytes))
  try {
    receiver.send({ type: 'pass', pass, flowBytes, progressEvery: PROGRESS_MS })
    const result = receiver.expect('result')
    await receiver.expect('armed')
    if (sender === null) {
      const received = await result
      if (received.sent === undefined) throw new Error('the receiver did not say what was sent')
      return { pass: { received, sent: received.sent }, congestionControl: undefined }
    }
    const { address } = request
    const countRetransmits = place.pair !== null
    sender.send({
      type: 'connect',
      pass,
      address,
      port,
      flowBytes,
      countRetransmits,
    } satisfies ConnectRequest)
    await sender.expect('connected')
    // Between connecting and the first byte, so that looking takes nothing from the measurement.
    const congestionControl = await liveCongestionControl(place.pair?.sender, address, port)
    sender.send({ type: 'go' })
    const [received, sent] = await Promise.all([result, sender.expect('sent')])
    return { pass: { received, sent }, congestionControl }
  } finally {
    watch.stop()
  }
}

/** Hands on progress, and gives the pass up when there is none for too long. */
function watchProgress(session: Session, onProgress: (progress: Progress) => void): { stop(): void } {
  let last = -1
  const stalled = (): void => {
    const error = new Error(
      `${session.who}: nothing has arrived for ${STALL_MS / 1000} s, after ${Math.max(0, last)} bytes`,
    )
    session.receiver.abandon(error)
    session.sender?.abandon(error)
  }
  let timer = setTimeout(stalled, STALL_MS)
  session.receiver.onMessage = (message) => {
    if (message.type !== 'progress') return
    if (message.bytes !== last) {
      clearTimeout(timer)
      timer = setTimeout(stalled, STALL_MS)
    }
    last = message.bytes
    onProgress(message)
  }
  return {
    stop() {
      clearTimeout(timer)
      session.receiver.onMessage = undefined
    },
  }
}
