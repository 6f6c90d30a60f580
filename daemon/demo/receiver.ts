/**
 * Child process of the demo: the receiving end, zcrx or its peer. Told what to do over IPC; ends when the demo does.
 */
import type { Nic } from '../api.ts'
import type { WorkerReport } from '../run/totals.ts'
import type { MemoryPath } from './memory.ts'
import { PassMeter } from './meter.ts'
import { reply, serve } from './program.ts'
import type {
  OpenRequest,
  PassRequest,
  PassResult,
  Progress,
  ReceiverReply,
  ReceiverRequest,
  SentReply,
} from './protocol.ts'
import { openNode, type ReceivingStack, type StackCounters } from './stacks.ts'

let stack: ReceivingStack | undefined
let path: MemoryPath | undefined

serve<ReceiverRequest>(
  async (message) => {
    if (message.type === 'open') {
      stack = await open(message)
      const { driver, mode, mtu, port } = stack
      reply<ReceiverReply>({ type: 'ready', driver, mode, mtu, port })
    } else if (message.type === 'pass') {
      if (stack === undefined) throw new Error('told to receive before it was told to open')
      reply<ReceiverReply>(await receive(stack, message))
    } else {
      await close()
      process.disconnect()
    }
  },
  () => close(),
)

async function open(request: OpenRequest): Promise<ReceivingStack> {
  if (request.kind === 'node') return openNode(request.address, request.interface, request.mtu)
  const { openZcrx } = await import('./zcrx-stack.ts')
  if (request.kind === 'memory') {
    const { MemoryPath } = await import('./memory.ts')
    path = new MemoryPath(request.mtu, request.workers)
    const { device, address } = path
    if (request.workers !== undefined) return openZcrx(device, address, true, request.workers)
    return openZcrx(await captured(device as Nic, request), address, true)
  }
  const { openDevice } = await import('../api.ts')
  if (request.workers !== undefined)
    return openZcrx(request.device, request.address, request.ownAddress, request.workers)
  const nic = await captured(openDevice(request.device), request)
  return openZcrx(nic, request.address, request.ownAddress)
}

async function captured(nic: Nic, { capture }: OpenRequest): Promise<Nic> {
  if (capture === undefined) return nic
  const { captureNic } = await import('../capture.ts')
  return captureNic(nic, capture, (error) =>
    process.stderr.write(`the capture has ended, frames go on: ${error.message}\n`),
  )
}

async function receive(stack: ReceivingStack, request: PassRequest): Promise<PassResult> {
  const meter = new PassMeter(request.pass, request.flowBytes.length)
  const before = stack.counters()
  const workersBefore = stack.workers?.()
  stack.measure(meter)
  const timer = setInterval(() => reply<ReceiverReply>(progress(stack, meter, before)), request.progressEvery)
  reply<ReceiverReply>({ type: 'armed' })
  let sent: SentReply | undefined
  try {
    if (path === undefined) await meter.done
    else sent = await path.send(stack.port, request, meter.done)
  } finally {
    clearInterval(timer)
    stack.measure(null)
  }
  const samplers = meter.flows.flatMap((flow) => flow.sampler ?? [])
  return {
    type: 'result',
    flows: meter.flows.map((flow) => flow.result()),
    bytes: meter.bytes,
    seconds: meter.seconds,
    cpuSeconds: meter.cpuSeconds,
    samplesChecked: samplers.reduce((sum, sampler) => sum + sampler.checked, 0),
    samplesWrong: samplers.reduce((sum, sampler) => sum + sampler.wrong, 0),
    ...since(stack.counters(), before),
    niovs: stack.census(),
    ...(workersBefore === undefined ? {} : { workers: workersSince(stack.workers!(), workersBefore) }),
    ...(sent === undefined ? {} : { sent }),
  }
}

function progress(stack: ReceivingStack, meter: PassMeter, before: StackCounters): Progress {
  const { frames, completions } = since(stack.counters(), before)
  return {
    type: 'progress',
    bytes: meter.bytes,
    frames,
    completions,
    niovs: stack.census(),
    seconds: meter.seconds,
  }
}

function workersSince(now: readonly WorkerReport[], before: readonly WorkerReport[]): WorkerReport[] {
  return now.map((report, worker) => {
    const { connections, zeroCopiedBytes, copiedBytes, frames } = before[worker]!
    return {
      ...report,
      connections: report.connections - connections,
      zeroCopiedBytes: report.zeroCopiedBytes - zeroCopiedBytes,
      copiedBytes: report.copiedBytes - copiedBytes,
      frames: report.frames - frames,
    }
  })
}

function since(now: StackCounters, before: StackCounters): StackCounters {
  return {
    zeroCopiedBytes: now.zeroCopiedBytes - before.zeroCopiedBytes,
    copiedBytes: now.copiedBytes - before.copiedBytes,
    completions: now.completions - before.completions,
    frames: now.frames - before.frames,
    drops: Object.fromEntries(
      Object.entries(now.drops).map(([cause, count]) => [cause, count - (before.drops[cause] ?? 0)]),
    ),
  }
}

async function close(): Promise<void> {
  await stack?.close()
  stack = undefined
  path = undefined
}
