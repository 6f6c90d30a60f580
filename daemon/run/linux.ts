import type { Logger } from 'pino'
import { applyQueueSetup, parseLinuxDevice, type ServerOptions } from '../api.ts'
import { type ListenAddress, UsageError } from '../cli/parse.ts'
import { untilUndone } from '../doctor/apply.ts'

/** What of `RunOptions` is looked at. */
interface Options {
  readonly device: string
  readonly listen: ListenAddress | readonly ListenAddress[]
  readonly apply?: boolean
  readonly ownAddress: boolean
  readonly gateways?: readonly string[]
  readonly takeOver?: boolean
  readonly secretFile?: string
  readonly vlan?: readonly number[]
  readonly impair?: object
  readonly rateLimit?: number
  readonly capture?: object
  readonly workers?: number | 'queues'
}

/** How long (milliseconds) putting a queue's settings back is tried: it is let go of some time after it was given back. */
const UNDO_MS = 2000

/** What each option of a stack of ours is called on the command line. */
const OF_OURS: readonly [flag: string, said: (options: Options) => boolean][] = [
  ['--own-address and --address', ({ ownAddress }) => ownAddress],
  ['--gateway', ({ gateways }) => gateways !== undefined],
  ['--take-over', ({ takeOver }) => takeOver === true],
  ['--secret-file', ({ secretFile }) => secretFile !== undefined],
  ['--vlan', ({ vlan }) => vlan !== undefined],
  ['--impair', ({ impair }) => impair !== undefined],
  ['--rate-limit', ({ rateLimit }) => rateLimit !== undefined],
  ['--capture', ({ capture }) => capture !== undefined],
  ['--workers', ({ workers }) => workers !== undefined],
]

/** @throws UsageError for what is about frames and a stack of ours */
export function checkLinux(options: Options): void {
  for (const [flag, said] of OF_OURS)
    if (said(options))
      throw new UsageError(`${flag} is about a stack of zcrxd's own, and ${options.device} is the machine's`)
  if (options.apply === true && parseLinuxDevice(options.device).name === '')
    throw new UsageError('--apply sets up the queue of linux:INTERFACE/QUEUE, and linux: names none')
}

/** Where to listen on the machine's own stack. */
export function whereOnLinux({ listen }: Options): Required<Pick<ServerOptions, 'listen'>> {
  return { listen: [listen].flat() as readonly ListenAddress[] }
}

/** Sets the queue up for zero-copy receive, where that is asked for. Returns what puts it back. @throws NicError */
export function setUpQueue(options: Options, log: Logger): () => Promise<void> {
  if (options.apply !== true) return () => Promise.resolve()
  const { name, queue } = parseLinuxDevice(options.device)
  const ports = whereOnLinux(options).listen.flatMap(({ port }) => (port > 0 ? [port] : []))
  const setup = applyQueueSetup({
    device: name,
    queue,
    ports,
    onStep: ({ what, command, outcome, words }) =>
      log.info({ command, outcome }, words === '' ? what : `${what}: ${words}`),
  })
  const undo = untilUndone(setup, UNDO_MS)
  return async () => {
    if (!(await undo())) log.error({ device: name, queue }, 'not all settings of the queue could be put back')
  }
}
