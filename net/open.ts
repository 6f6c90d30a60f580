import { isDeepStrictEqual } from 'node:util'
import { allocateArea } from '../driver/area.ts'
import { ArgumentError } from '../errors.ts'
import { isLinuxDevice, parseLinuxDevice } from '../host/devices/index.ts'
import { DEFAULT_AREA_BYTES } from '../pages.ts'
import { Host } from '../uapi/backend/host.ts'
import { checkConnect, checkHost, checkServer, HOST_OPTIONS, SAME_OPTIONS } from './check-options.ts'
import type { Connection } from './connection.ts'
import type { DialOptions } from './dialer.ts'
import { OpenedHost, type OpenHostOptions } from './host.ts'
import { checkSignal } from './options.ts'
import type { Server } from './server.ts'
import type { ServerOptions } from './server-types.ts'
import { register, type SharedInstance } from './shared-instance.ts'
import { type AreaPart, copies, openSystems, type Systems } from './system.ts'
import { type AreaPlan, placeArea } from './user-area.ts'

/** What a connection is made with, on a device of its own or on one that is open in this process. */
export interface ConnectOptions extends Omit<OpenHostOptions, 'signal'>, DialOptions {}

/** A host that this process has open, and whose device may be asked for again. */
interface Held {
  readonly host: Promise<OpenedHost>
  readonly options: OpenHostOptions
  /** The program has opened it, and closes it. */
  readonly kept: boolean
  /** Those of `createServer` and `connect`: when the last has ended it is closed, unless it is kept. */
  users: number
}

/** By device: its name, or the open NIC. */
const held = new Map<unknown, Held>()

/**
 * Opens a device for any number of servers and connections, and registers the memory that they receive into. `createServer` and
 * `connect` that name the same device in this process join it from then on.
 * @throws NicError, ArgumentError with what to do about it; AbortError
 */
export async function openHost(options: OpenHostOptions): Promise<OpenedHost> {
  checkHost(options)
  const { device } = options
  for (let there = held.get(device); there !== undefined; there = held.get(device)) {
    const host = await there.host.catch(() => null)
    if (host?.closed === false)
      throw new ArgumentError(
        `${nameOf(device)} is open in this process already`,
        'use the host that has it, or open the host before createServer and connect',
      )
    await host?.close()
    if (held.get(device) === there) held.delete(device)
  }
  return hold(options, true).host
}

/** Opens, and keeps it for whoever asks for the same device. */
function hold(options: OpenHostOptions, kept: boolean): Held {
  const { device } = options
  const entry: Held = { host: open(options, kept), options, kept, users: 0 }
  // Of ordinary sockets there may be as many as anybody likes.
  if (device === undefined || isOrdinary(device)) return entry
  held.set(device, entry)
  const forget = (): void => {
    if (held.get(device) === entry) held.delete(device)
  }
  entry.host.then((host) => host.once('close', forget), forget)
  return entry
}

function isOrdinary(device: unknown): boolean {
  return typeof device === 'string' && isLinuxDevice(device) && parseLinuxDevice(device).name === ''
}

/** @param kept several are going to use it, for which not every kernel has what it takes */
async function open(options: OpenHostOptions, kept: boolean): Promise<OpenedHost> {
  const { signal, device, workers } = options
  checkSignal(signal)
  const systems = await openSystems(options)
  const instances: SharedInstance[] = []
  try {
    checkSignal(signal)
    const { parts, bytes } = areasFor(systems, options)
    // Other threads may be given a way to it, and Linux may not be able to share it later on.
    const early = kept && (workers !== undefined || (typeof device === 'string' && isLinuxDevice(device)))
    for (const [i, system] of systems.queues.entries())
      if (early && !copies(system)) instances.push(register(system, options, bytes, parts?.[i] ?? null))
    return new OpenedHost({
      systems: systems.queues,
      instances,
      parts,
      options: { ...options, areaBytes: bytes },
      end: () => systems.close(),
    })
  } catch (error) {
    for (const instance of instances) instance.close()
    await systems.close()
    throw error
  }
}

/** Memory for each queue, and how much of it received data lies in. @throws ArgumentError */
function areasFor(
  systems: Systems,
  { area, areaBytes, workers }: OpenHostOptions,
): { parts: readonly AreaPart[] | null; bytes: number } {
  if (area !== undefined) return placeArea(area, planFor(systems, areaBytes, workers !== undefined))
  const bytes = areaBytes ?? DEFAULT_AREA_BYTES
  return { parts: systems.areas(bytes) ?? ownPart(systems, bytes), bytes }
}

function planFor({ queues }: Systems, areaBytes: number | undefined, shared: boolean): AreaPlan {
  const tailBytes = Math.max(...queues.map(({ nic }) => nic.info.tailBytes))
  return { areaBytes, queues: queues.length, tailBytes, shared }
}

/** Memory that is there before anybody registers it: of a stack on this thread. @throws ArgumentError */
function ownPart({ queues }: Systems, bytes: number): readonly AreaPart[] | null {
  const [system] = queues
  if (!(system instanceof Host)) return null
  return [{ whole: allocateArea(bytes, system.nic.info.tailBytes), base: 0 }]
}

/** Whoever has a host for as long as he needs it. */
interface Guest {
  readonly host: OpenedHost
  leave(): Promise<void>
}

/** The host of a device, open already or not, for one user more. */
async function guestOf(options: OpenHostOptions): Promise<Guest> {
  const { device } = options
  for (;;) {
    const there = device === undefined ? undefined : held.get(device)
    const entry = there ?? hold(onlyHost(options), false)
    entry.users++
    const leave = async (host: OpenedHost): Promise<void> => {
      if (--entry.users === 0 && !entry.kept) await host.close()
    }
    const host = await entry.host.catch((error) => {
      entry.users--
      throw error
    })
    if (host.closed) {
      // It ends; the device can be opened again then.
      await host.close()
      continue
    }
    const other = there === undefined ? undefined : different(entry.options, options)
    if (other !== undefined) {
      await leave(host)
      throw new ArgumentError(
        `${nameOf(device)} is open in this process already, with another ${other}`,
        `leave ${other} out, or say the same`,
      )
    }
    return { host, leave: () => leave(host) }
  }
}

/** The first option that is said otherwise than it was when the host was opened. */
function different(opened: OpenHostOptions, asked: OpenHostOptions): string | undefined {
  return SAME_OPTIONS.find(
    (name) => name !== 'device' && asked[name] !== undefined && !isDeepStrictEqual(asked[name], opened[name]),
  )
}

/** Those of the options that are the host's. */
function onlyHost(options: OpenHostOptions): OpenHostOptions {
  const names: readonly string[] = HOST_OPTIONS
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)))
}

function nameOf(device: unknown): string {
  return typeof device === 'string' ? device : 'this NIC'
}

/**
 * Opens the device, registers an area and listens; joins a host that has the device in this process already.
 * @throws NicError, ArgumentError with what to do about it; AbortError
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  checkServer(options)
  const { host, signal } = options
  checkSignal(signal)
  if (host !== undefined) return (openSystems(options) as OpenedHost).listen(options)
  const guest = await guestOf(options)
  try {
    const server = await guest.host.listen(options)
    server.atEnd(() => guest.leave())
    return server
  } catch (error) {
    await guest.leave()
    throw error
  }
}

/**
 * Opens the device and connects; joins a host that has the device in this process already. What was opened is given back when the connection
 * is over.
 * @throws NicError, ArgumentError; ConnectionError with the `code`, `errno`, `syscall`, `address` and `port` that `node:net` has; AbortError
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  checkConnect(options)
  const { signal, host: _peer, ...rest } = options
  checkSignal(signal)
  const guest = await guestOf(rest)
  try {
    const connection = await guest.host.connect(dialOptions(options))
    void connection.closed.then(() => guest.leave())
    return connection
  } catch (error) {
    await guest.leave()
    throw error
  }
}

function dialOptions(options: ConnectOptions): DialOptions {
  const names: readonly string[] = HOST_OPTIONS
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => !names.includes(name)),
  ) as unknown as DialOptions
}
