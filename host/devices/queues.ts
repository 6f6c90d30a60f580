import { availableParallelism } from 'node:os'
import { loadNative } from '../../driver/native/index.ts'
import { ERRNO, inNamespace, linkInfo } from '../../driver/system.ts'
import { ArgumentError, NicError } from '../../errors.ts'
import { examineDevice } from './examine.ts'
import type { DeviceKind, OpenedQueue, OpenOptions, QueueGround, QueueRequest, QueueShare } from './kind.ts'
import { namedQueues, parseDevice } from './open.ts'
import { type DeviceSpec, kindOf } from './table.ts'
import { settingsText } from './text.ts'

/** A device string that was read. */
interface Named {
  readonly text: string
  readonly spec: DeviceSpec
  readonly kind: DeviceKind<DeviceSpec>
}

/**
 * The queues of a device that so many workers take, one each, in the order in which they are to be opened. A string that names
 * queues (`xdp:eth0/0-3`) has those; of another, AF_XDP takes the interface's queues from 0 on, a TAP device has as many as are
 * opened, and packet sockets form a fanout group, whose number is chosen at random where the string has none. `auto:` becomes
 * what would be chosen now, for all of its queues. Opens nothing.
 * @param workers how many; `queues`: as many as the interface has over AF_XDP, and one for each core, eight at the most, over TAP
 *   and packet sockets; of what has one queue, one
 * @throws ArgumentError when the device has not so many, or not so few; DeviceError, NicError
 */
export function planQueues(text: string, workers: number | 'queues'): QueueRequest[] {
  if (workers !== 'queues' && !(Number.isInteger(workers) && workers > 0))
    throw new ArgumentError(`there can't be ${workers} workers`, "take a number from 1 on, or 'queues'")
  const said = read(text)
  const count = namedQueues(text, said.spec)
  if (count > 0 && workers !== 'queues' && workers !== count)
    throw new ArgumentError(
      `"${text}" names ${count === 1 ? 'one queue' : `${count} queues`}, which as many workers take, not ${workers}`,
      `take ${count}, or 'queues'; or name the interface alone`,
    )
  const alone = [{ device: text, index: 0, count: 1 }]
  if (workers === 1 || count === 1) return alone
  const taken = said.spec.driver === 'auto' ? chosenFor(text, said.spec) : said
  const { several = '' } = taken.kind
  if (typeof several === 'string') {
    if (workers === 'queues') return alone
    throw new ArgumentError(
      `"${text}" has one queue, not ${workers}${several === '' ? '' : `: ${several}`}`,
      'take one worker',
    )
  }
  const ground = groundOf(taken)
  const many = count || (workers === 'queues' ? several.all(taken.spec, ground) : workers)
  if (many === 1) return alone
  return several
    .split(taken.text, taken.spec, many, ground)
    .map((device, index) => ({ device, index, count: many }))
}

/**
 * Opens one queue of those that `planQueues` has named; in any thread of the process. The first returns what the others need, and
 * its NIC stays open until each of them has been opened; after that each goes on without the others. When it throws, nothing of
 * this queue is left open.
 * @param share what the first has returned; null for the first, and where it returned null
 * @throws ArgumentError, NicError
 */
export function openQueue(
  request: QueueRequest,
  share: QueueShare | null,
  options: OpenOptions = {},
): OpenedQueue {
  const { device, index, count } = request
  const { spec, kind } = read(device)
  const { several } = kind
  if (count === 1 || several === undefined || typeof several === 'string')
    return { nic: kind.open(spec, options)[0]!, share: null }
  if (spec.driver === 'xdp' && (index === 0) !== (share === null))
    throw new ArgumentError(
      index === 0
        ? `the first queue of ${count}, ${device}, takes no share: it is what makes one`
        : `${device} is queue ${index + 1} of ${count}, and takes part in what the first has brought`,
      index === 0 ? 'null' : 'open the first before it, and hand on its share',
    )
  return several.open(spec, request, share)
}

function read(text: string): Named {
  const spec = parseDevice(text)
  return { text, spec, kind: kindOf(spec.driver)! }
}

/** What `auto:` would open now. @throws NicError when that is nothing */
function chosenFor(text: string, spec: DeviceSpec & { driver: 'auto' }): Named {
  const { chosen, ways } = examineDevice(text)
  if (chosen === null) {
    const reasons = ways.map(({ driver, mode, reasons: [why = ''] }) => `${driver} ${mode}: ${why}`)
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `no way into ${spec.name} works\n  ${reasons.join('\n  ')}`,
      `zcrxd doctor ${text}`,
    )
  }
  if (chosen.driver === 'raw') return read(chosen.device)
  return read(`${chosen.driver}:${spec.name}${settingsText(spec)}`)
}

function groundOf({ kind, spec }: Named): QueueGround {
  const cores = availableParallelism()
  const { name = '', netns } = kind.wanted?.(spec) ?? {}
  const native = loadNative()
  return inNamespace(native, netns, () => {
    const facts = native.linkInfo(name)
    if (typeof facts !== 'number') return { link: facts, cores }
    // A TAP device is made when it is opened.
    if (spec.driver === 'tap' && facts === -ERRNO.ENODEV) return { link: null, cores }
    return { link: linkInfo(native, name), cores }
  })
}
