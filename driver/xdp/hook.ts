import { NicError } from '../../errors.ts'
import { checkAddress } from '../flows.ts'
import type { LinkInfo, Native, XdpAttachment } from '../native/index.ts'
import { ERRNO, errnoName, holdersOfProgram, linkInfo, systemFailure } from '../system.ts'
import {
  buildProgram,
  EVERY_QUEUE,
  presenceKey,
  STEERING_KEY_BYTES,
  STEERING_VALUE_BYTES,
  steeringKey,
  XDP_DROP,
  XDP_PASS,
} from './program.ts'

// enum bpf_map_type, bpf_prog_type, bpf_attach_type; linux/bpf.h, linux/if_link.h
const MAP_TYPE_HASH = 1
const MAP_TYPE_XSKMAP = 17
const PROG_TYPE_XDP = 6
const ATTACH_TYPE_XDP = 37
const F_NO_PREALLOC = 1
const F_XDP_HAS_FRAGS = 1 << 5
const XDP_FLAGS_SKB_MODE = 1 << 1
const XDP_FLAGS_DRV_MODE = 1 << 2

const PROGRAM_NAME = 'zcrx'
const STEERING_ENTRIES = 65536
const VERIFIER_LOG_BYTES = 1 << 18
/** A holder that has just died gives the hook back a moment later. */
/** Loads tried while signals interrupt the verifier. */
const LOAD_RETRIES = 64
const HOOK_RETRIES = 10
const HOOK_RETRY_MS = 20

/** ip-link(8). */
const XDP_KEYWORD: Record<XdpAttachment['mode'], string> = {
  native: 'xdpdrv',
  generic: 'xdpgeneric',
  offloaded: 'xdpoffload',
}

/** Where the program is attached: in the driver, or behind it. */
export type XdpMode = 'native' | 'generic'

/**
 * A hook for another `XdpNic` of the process, on another queue of the interface. Plain numbers, so that it can be sent to
 * a worker thread; its sender keeps its own `XdpNic` open until the receiver has opened one.
 */
export interface XdpHookHandle {
  /** Where the program is attached. */
  readonly mode: XdpMode
  /** Descriptor of the map that says which frames are taken. */
  readonly steering: number
  /** Descriptor of the map of sockets by queue. */
  readonly sockets: number
  /** Descriptor of the program's link to the interface. */
  readonly link: number
}

/** What this queue has entered into the steering map. */
interface Entry {
  readonly key: Uint8Array
  /** What to do with its frames on a queue without a socket, XDP_*. */
  readonly action: number
  references: number
}

/**
 * The XDP hook of one interface: the program, the steering map, and the map of sockets by queue. The kernel takes the
 * program off the interface when the last descriptor of its link is closed, however that comes about.
 */
export class XdpHook {
  readonly device: string
  readonly handle: XdpHookHandle
  readonly #native: Native
  readonly #queue: number
  readonly #entries = new Map<string, Entry>()
  #open = true

  private constructor(native: Native, device: string, queue: number, handle: XdpHookHandle) {
    this.#native = native
    this.device = device
    this.#queue = queue
    this.handle = handle
    native.bpfMapUpdate(handle.steering, presenceKey(queue), bytes32(XDP_PASS))
  }

  get mode(): XdpMode {
    return this.handle.mode
  }

  /**
   * Loads the program and puts it on the interface.
   * @param wanted `auto` takes native XDP where the driver has it, except on a veth: there generic XDP leaves the peer's
   *   segmentation offload on, and 64 KiB frames are worth more than the shorter path
   * @param notes receives why `auto` fell back
   * @throws NicError
   */
  static open(
    native: Native,
    device: string,
    queue: number,
    wanted: XdpMode | 'auto',
    notes: string[],
  ): XdpHook {
    const facts = linkInfo(native, device)
    const load = (mode: XdpMode): XdpHook =>
      new XdpHook(native, device, queue, attachProgram(native, device, facts, mode))
    if (wanted !== 'auto') return load(wanted)
    if (facts.driver === 'veth' || facts.loopback) return load('generic')
    try {
      return load('native')
    } catch (error) {
      if (!(error instanceof NicError) || error.code !== 'ZCRX_NIC_UNSUPPORTED') throw error
      notes.push(`generic XDP instead of native: ${error.message}`)
      return load('generic')
    }
  }

  /** Takes part in a hook that another `XdpNic` of this process holds. @throws NicError */
  static adopt(native: Native, device: string, queue: number, { mode, ...fds }: XdpHookHandle): XdpHook {
    return guarded(native, device, (keep) => {
      const duplicate = (fd: number): number => keep(native.duplicate(fd), 'sharing an XDP hook')
      const [steering, sockets, link] = [fds.steering, fds.sockets, fds.link].map(duplicate)
      return new XdpHook(native, device, queue, { mode, steering: steering!, sockets: sockets!, link: link! })
    })
  }

  /** How many of the interface's first `queues` queues nobody has opened, in whatever thread: their frames go to the kernel. */
  unopened(queues: number): number {
    const value = new Uint8Array(STEERING_VALUE_BYTES)
    let count = 0
    for (let queue = 0; queue < queues; queue++)
      if (this.#native.bpfMapLookup(this.handle.steering, presenceKey(queue), value) < 0) count++
    return count
  }

  /** Frames that the program redirects go to this socket from now on. @throws NicError */
  setSocket(socketFd: number): void {
    const result = this.#native.bpfMapUpdate(this.handle.sockets, bytes32(this.#queue), bytes32(socketFd))
    if (result < 0) throw systemFailure(result, 'entering the socket into the xskmap', this.device)
  }

  /** Frames pass on to the kernel. */
  clearSocket(): void {
    this.#native.bpfMapDelete(this.handle.sockets, bytes32(this.#queue))
  }

  /**
   * While the queue restarts, frames of the stack's connections are lost, to be sent again by their peers. They must not
   * reach the kernel: it knows of no such connection, and would answer with a reset.
   */
  restarting<T>(work: () => T): T {
    const set = (wanted?: number): void => {
      for (const { key, action } of this.#entries.values()) {
        this.#native.bpfMapUpdate(this.handle.steering, key, bytes32(wanted ?? action))
      }
    }
    set(XDP_DROP)
    try {
      return work()
    } finally {
      set()
    }
  }

  /**
   * Adds a reference to the steering entry of this queue (see `steeringKey`), and to that of every queue, if it is for them too:
   * while this queue's references last, another queue must not ask for the same.
   * @throws NicError
   */
  add(address: Uint8Array, port: number, everyQueue = false): void {
    this.#refer(steeringKey(checkAddress(address), port, this.#queue), XDP_PASS)
    if (!everyQueue) return
    try {
      // What waits for a socket here waits in vain, but must not reach the kernel.
      this.#refer(steeringKey(address, port, EVERY_QUEUE), XDP_DROP)
    } catch (error) {
      this.remove(address, port)
      throw error
    }
  }

  /** Takes a reference away; without one it does nothing. */
  remove(address: Uint8Array, port: number, everyQueue = false): void {
    this.#unrefer(steeringKey(checkAddress(address), port, this.#queue))
    if (everyQueue) this.#unrefer(steeringKey(address, port, EVERY_QUEUE))
  }

  #refer(key: Uint8Array, action: number): void {
    const entry = this.#entries.get(key.join())
    if (entry !== undefined) {
      entry.references++
      return
    }
    const result = this.#native.bpfMapUpdate(this.handle.steering, key, bytes32(action))
    if (result === -ERRNO.E2BIG || result === -ERRNO.ENOMEM) {
      throw new NicError(
        'ZCRX_NIC_SYSTEM',
        `the steering map of ${this.device} is full (${STEERING_ENTRIES} entries)`,
        'claim the address instead of steering each port',
        -result,
      )
    }
    if (result < 0) throw systemFailure(result, 'entering a port into the steering map', this.device)
    this.#entries.set(key.join(), { key, action, references: 1 })
  }

  #unrefer(key: Uint8Array): void {
    const entry = this.#entries.get(key.join())
    if (entry === undefined || --entry.references > 0) return
    this.#entries.delete(key.join())
    this.#native.bpfMapDelete(this.handle.steering, key)
  }

  /** Lets go of the hook; the last one takes the program off the interface. Idempotent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    for (const { key } of this.#entries.values()) this.#native.bpfMapDelete(this.handle.steering, key)
    this.#entries.clear()
    this.#native.bpfMapDelete(this.handle.steering, presenceKey(this.#queue))
    const { steering, sockets, link } = this.handle
    for (const fd of [link, sockets, steering]) this.#native.close(fd)
  }
}

/** Takes descriptors into custody, or throws what a negative errno means. */
type Keep = (fd: number, call: string) => number

/** Runs `work`; when it throws, what it had kept is closed. */
function guarded<T>(native: Native, device: string, work: (keep: Keep) => T): T {
  const kept: number[] = []
  try {
    return work((fd, call) => {
      if (fd < 0) throw systemFailure(fd, call, device)
      kept.push(fd)
      return fd
    })
  } catch (error) {
    for (const fd of kept.reverse()) native.close(fd)
    throw error
  }
}

function attachProgram(native: Native, device: string, facts: LinkInfo, mode: XdpMode): XdpHookHandle {
  return guarded(native, device, (keep) => {
    const { steering, sockets, program } = loadAll(native, keep, facts.rxQueues)
    const link = keep(attachLink(native, device, facts, mode, program), 'attaching XDP')
    native.close(program)
    return { mode, steering, sockets, link }
  })
}

/** The maps and the program over them, attached to nothing. */
function loadAll(native: Native, keep: Keep, queues: number) {
  const [key, value] = [STEERING_KEY_BYTES, STEERING_VALUE_BYTES]
  const steering = keep(
    native.bpfMapCreate(MAP_TYPE_HASH, key, value, STEERING_ENTRIES + queues, F_NO_PREALLOC, 'zcrx_steering'),
    'creating a BPF map',
  )
  const sockets = keep(
    native.bpfMapCreate(MAP_TYPE_XSKMAP, 4, 4, queues, 0, 'zcrx_sockets'),
    'creating an xskmap',
  )
  const program = keep(
    loadProgram(native, buildProgram(steering, sockets, queues > 1)),
    'loading the XDP program',
  )
  return { steering, sockets, program }
}

/** Whether the kernel takes maps and program: loads them, puts them nowhere, gives them back. @throws NicError */
export function probeProgram(native: Native): void {
  guarded(native, 'this machine', (keep) => {
    for (const fd of Object.values(loadAll(native, keep, 2))) native.close(fd)
  })
}

/** Descriptor of the program, or a negative errno. @throws NicError with the verifier's last words */
function loadProgram(native: Native, program: Uint8Array): number {
  const log = new Uint8Array(VERIFIER_LOG_BYTES)
  let fd = -ERRNO.EAGAIN
  // The verifier gives up with EAGAIN when a signal is pending: a profiler's timer is enough.
  for (let attempt = 0; attempt < LOAD_RETRIES && fd === -ERRNO.EAGAIN; attempt++) {
    fd = native.bpfProgLoad(PROG_TYPE_XDP, program, 'MIT', PROGRAM_NAME, F_XDP_HAS_FRAGS, log)
  }
  const words = fd < 0 ? new TextDecoder().decode(log.subarray(0, log.indexOf(0))).trimEnd() : ''
  if (words === '') return fd
  throw new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    `the kernel's verifier refuses the XDP program: ${words.split('\n').slice(-4).join(' | ')}`,
    'Linux 5.18 or later is needed',
    -fd,
  )
}

/** Descriptor of the link, or a negative errno. @throws NicError when the hook is taken or the driver refuses */
function attachLink(native: Native, device: string, facts: LinkInfo, mode: XdpMode, program: number): number {
  const flags = mode === 'native' ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE
  let link = 0
  for (let attempt = 0; attempt < HOOK_RETRIES; attempt++) {
    link = native.bpfLinkCreate(program, facts.index, ATTACH_TYPE_XDP, flags)
    if (link !== -ERRNO.EBUSY && link !== -ERRNO.EEXIST) break
    native.poll(-1, 0, HOOK_RETRY_MS)
  }
  if (link === -ERRNO.EBUSY || link === -ERRNO.EEXIST) throw hookTaken(native, device, -link)
  if (link >= 0 || link === -ERRNO.EPERM || link === -ERRNO.ENODEV) return link
  throw new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    `${facts.driver || 'the driver'} of ${device} refuses ${mode} XDP (${errnoName(-link)})`,
    refusalRemedy(device, mode, facts, -link),
    -link,
  )
}

function hookTaken(native: Native, device: string, errno: number): NicError {
  const busy = (message: string, remedy: string): NicError =>
    new NicError('ZCRX_NIC_BUSY', `the XDP hook of ${device} ${message}`, remedy, errno)
  const holder = linkInfo(native, device).programs[0]
  if (holder === undefined) return busy('was taken for a moment', 'try again')
  const what = `is taken by ${describe(native, holder)}`
  const processes = holdersOfProgram(holder.id)
  // A link can't be detached from outside: only its holder can let go. What netlink attached goes by its own mode.
  if (processes.length === 0) return busy(what, `ip link set dev ${device} ${XDP_KEYWORD[holder.mode]} off`)
  const mine = processes.some((each) => each.startsWith(`pid ${process.pid} `))
  return busy(
    `${what}, held by ${processes.join(', ')}`,
    mine ? 'close the other XdpNic of this process, or share its hook' : 'stop that process',
  )
}

function refusalRemedy(device: string, mode: XdpMode, facts: LinkInfo, errno: number): string {
  if (mode === 'generic') return `ethtool -i ${device} names the driver`
  if (facts.driver === 'veth' && errno === ERRNO.ENOSPC) {
    return `as many receive queues as the peer has transmit queues: ethtool -L ${device} rx <n>, or mode 'generic'`
  }
  return "mode 'generic', or a smaller MTU"
}

function describe(native: Native, attachment: XdpAttachment): string {
  const name = native.bpfProgName(attachment.id)
  return `program ${attachment.id}${typeof name === 'string' && name !== '' ? ` '${name}'` : ''} in ${attachment.mode} mode`
}

function bytes32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer)
}
