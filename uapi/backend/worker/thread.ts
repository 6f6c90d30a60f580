/** What runs on a worker's thread: a queue's NIC, its stack, and a kernel that serves rings of other threads. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Nic } from '../../../driver/nic.ts'
import { ArgumentError } from '../../../errors.ts'
import { type OpenedQueue, openQueue, type QueueShare } from '../../../host/devices/index.ts'
import { FileTable } from '../../kernel/files.ts'
import type { Process } from '../../kernel/process.ts'
import { Host } from '../host.ts'
import { checkedRing } from './checked.ts'
import * as doors from './door.ts'
import { ServiceLoop } from './loop.ts'
import type { FromQueue, FromWorker, QueueLink, QueueState, ThreadData, ToWorker } from './messages.ts'
import { KernelService } from './service.ts'
import { SiblingChannel } from './siblings.ts'
import { tellError } from './told-error.ts'

/** Rings that one thread may have here at once. */
const MAX_RINGS = 256

/** A thread that uses this queue. */
interface User {
  readonly link: QueueLink
  readonly files: Process['files']
}

type Opened = Nic | OpenedQueue
type OpenNic = (data: unknown, index: number, share: QueueShare | null) => Opened | Promise<Opened>

const data = workerData as ThreadData

function say(message: FromWorker): void {
  parentPort!.postMessage(message)
}

async function nicOf({ device, index, areaBytes, share }: ThreadData): Promise<OpenedQueue> {
  if (!('module' in device))
    return openQueue(device, share ?? null, areaBytes === undefined ? {} : { areaBytes })
  const { module, data: given } = device
  const { openNic } = (await import(module)) as { openNic?: OpenNic }
  if (typeof openNic !== 'function')
    throw new ArgumentError(
      `${module} exports no openNic`,
      'export function openNic(data, index, share) { … }',
    )
  const opened = await openNic(given, index, share ?? null)
  return 'nic' in opened ? opened : { nic: opened, share: null }
}

/** One queue's end of the business. */
class QueueThread {
  readonly #host: Host
  readonly #service: KernelService
  readonly #loop: ServiceLoop
  readonly #users = new Set<User>()
  #siblings: SiblingChannel | null = null
  #gone: FromQueue | null = null
  #ready: FromQueue | null = null
  #stopped = false

  constructor(host: Host) {
    this.#host = host
    this.#service = new KernelService(host.kernel)
    this.#service.report = () => host.report()
    this.#loop = new ServiceLoop(this.#service, data.spinUs === undefined ? {} : { spinUs: data.spinUs })
    this.#loop.onFault = (error) => this.fault(error)
    if (data.siblings !== undefined)
      this.#siblings = new SiblingChannel(data.siblings, data.index, host, () => this.#loop.wake())
    host.onAddress = (event) => {
      this.#siblings?.address(event)
      this.#tellAll({ type: 'state', state: this.state })
    }
    host.onAddresses = ({ failures }) => {
      this.#tellAll({ type: 'addresses', state: this.state, failures: failures.map(tellError) })
    }
    host.onGone = (error) => {
      this.#gone = { type: 'gone', error: tellError(error) }
      this.#tellAll(this.#gone)
    }
    const ready = (error: unknown): void => {
      this.#ready = { type: 'ready', error: error === null ? null : tellError(error) }
      this.#tellAll({ type: 'state', state: this.state })
      this.#tellAll(this.#ready)
    }
    host.ready.then(() => ready(null), ready)
    this.#loop.start()
  }

  get state(): QueueState {
    const { nic, notes, address, addresses, listenAddress, pending } = this.#host
    return {
      info: { ...nic.info },
      nicNotes: [...(nic.notes ?? [])],
      notes: [...notes],
      address: address.toString(),
      addresses: addresses.map(String),
      listenAddress: listenAddress.toString(),
      pending,
    }
  }

  attach({ link, owner }: ToWorker): void {
    const user: User = { link, files: new FileTable() }
    this.#users.add(user)
    const { control } = link
    const about = this.#service.add(link.about, user.files)
    if (owner) {
      this.#service.onStop = (by) => {
        if (by === about) this.#stop(about)
      }
    }
    control.on('message', (message: unknown) => {
      const ring = checkedRing(message)
      if (ring === null || this.#stopped) return
      if (this.#ringsOf(user) >= MAX_RINGS) {
        doors.close(ring.door)
        ring.calls.close()
        ring.events.close()
        return
      }
      this.#service.add(ring, user.files)
      say({ type: 'door', door: ring.door })
      this.#loop.wake()
    })
    // The thread has ended, or has done with the queue.
    control.on('close', () => this.#detach(user))
    // What it has to know of, however late it comes.
    this.#tell(user, { type: 'state', state: this.state })
    if (this.#ready !== null) this.#tell(user, this.#ready)
    if (this.#gone !== null) this.#tell(user, this.#gone)
    this.#loop.wake()
  }

  #detach(user: User): void {
    if (!this.#users.delete(user) || this.#stopped) return
    this.#service.forgetUser(user.files)
    this.#loop.wake()
  }

  #ringsOf({ files }: User): number {
    let rings = 0
    for (const { process } of this.#service.sessions) if (process.files === files) rings++
    return rings
  }

  #stop(about: KernelService['sessions'][number]): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#loop.stop()
    this.#service.end(about)
    for (const { files } of this.#users) files.end()
    this.#siblings?.close()
    this.#host.close()
    // Once the answer is out, nothing holds the thread any more.
    setImmediate(() => {
      about.end()
      for (const { link } of this.#users) link.control.close()
      parentPort!.close()
    })
  }

  /** Something threw that must not: the queue is given back as far as that can be, everybody is told, and the thread ends. */
  fault(error: unknown): void {
    if (this.#stopped) return
    this.#stopped = true
    const told = tellError(error)
    say({ type: 'fault', error: told })
    try {
      this.#loop.stop()
      this.#tellAll({ type: 'fault', error: told })
      for (const session of [...this.#service.sessions]) session.abandon(error)
      for (const { link } of this.#users) link.control.close()
      this.#host.close()
    } catch {
      // The descriptors are closed with the thread.
    }
    setImmediate(() => process.exit(1))
  }

  #tellAll(message: FromQueue): void {
    for (const user of this.#users) this.#tell(user, message)
  }

  #tell({ link }: User, message: FromQueue): void {
    link.control.postMessage(message)
  }
}

try {
  const { nic: device, share } = await nicOf(data)
  const queue = new QueueThread(Host.open({ ...data.options, device, sibling: data.index > 0 }))
  process.on('uncaughtException', (error) => queue.fault(error))
  parentPort!.on('message', (message: ToWorker) => queue.attach(message))
  say({ type: 'opened', state: queue.state, share })
} catch (error) {
  say({ type: 'failed', error: tellError(error) })
  parentPort!.close()
}
