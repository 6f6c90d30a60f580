import { ArgumentError, NicError } from '../errors.ts'
import type { LinkInfo, Native, XdpAttachment } from '../native/index.ts'
import { buildProgram, STEERING_KEY_BYTES, STEERING_VALUE_BYTES, steeringKey } from './program.ts'
import { ERRNO, errnoName, holdersOfProgram, linkInfo, systemFailure } from './system.ts'

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
const HOOK_RETRIES = 10
const HOOK_RETRY_MS = 20

/** ip-link(8). */
const XDP_KEYWORD: Record<XdpAttachment['mode'], string> = {
  native: 'xdpdrv',
  generic: 'xdpgeneric',
  offloaded: 'xdpoffload',
}

export type XdpMode = 'native' | 'generic'

/**
 * The XDP hook of one interface: the program, the steering map, and the map of sockets by queue. The kernel takes the
 * program off the interface when the last descriptor of its link is closed, however that comes about.
 */
export class XdpHook {
  readonly device: string
  readonly mode: XdpMode
  readonly #native: Native
  readonly #fds: number[] = []
  readonly #steering: number
  readonly #sockets: number
  readonly #entries = new Map<string, { key: Uint8Array; references: number }>()

  /** Use {@link XdpHook.open}. */
  constructor(native: Native, device: string, facts: LinkInfo, mode: XdpMode, queues: number) {
    this.#native = native
    this.device = device
    this.mode = mode
    try {
      this.#steering = this.#keep(
        native.bpfMapCreate(
          MAP_TYPE_HASH,
          STEERING_KEY_BYTES,
          STEERING_VALUE_BYTES,
          STEERING_ENTRIES,
          F_NO_PREALLOC,
          'zcrx_steering',
        ),
        'creating a BPF map',
      )
      this.#sockets = this.#keep(
        native.bpfMapCreate(MAP_TYPE_XSKMAP, 4, 4, queues, 0, 'zcrx_sockets'),
        'creating an xskmap',
      )
      this.#attach(this.#load(), facts)
    } catch (error) {
      this.close()
      throw error
    }
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
    wanted: XdpMode | 'auto',
    queues: number,
    notes: string[],
  ): XdpHook {
    const facts = linkInfo(native, device)
    if (wanted !== 'auto') return new XdpHook(native, device, facts, wanted, queues)
    if (facts.driver === 'veth' || facts.loopback)
      return new XdpHook(native, device, facts, 'generic', queues)
    try {
      return new XdpHook(native, device, facts, 'native', queues)
    } catch (error) {
      if (!(error instanceof NicError) || error.code !== 'ZCRX_NIC_UNSUPPORTED') throw error
      notes.push(`generic XDP instead of native: ${error.message}`)
      return new XdpHook(native, device, facts, 'generic', queues)
    }
  }

  /** Frames of `queue` that the program redirects go to this socket from now on. @throws NicError */
  setSocket(queue: number, socketFd: number): void {
    const result = this.#native.bpfMapUpdate(this.#sockets, bytes32(queue), bytes32(socketFd))
    if (result < 0) throw systemFailure(result, 'entering the socket into the xskmap', this.device)
  }

  /** Frames of `queue` pass on to the kernel. */
  clearSocket(queue: number): void {
    this.#native.bpfMapDelete(this.#sockets, bytes32(queue))
  }

  /** Adds a reference to a steering entry (see `steeringKey`). @throws NicError */
  add(address: Uint8Array, port: number): void {
    const key = steeringKey(checkAddress(address), port)
    const entry = this.#entries.get(key.join())
    if (entry !== undefined) {
      entry.references++
      return
    }
    const result = this.#native.bpfMapUpdate(this.#steering, key, bytes32(1))
    if (result === -ERRNO.E2BIG || result === -ERRNO.ENOMEM) {
      throw new NicError(
        'ZCRX_NIC_SYSTEM',
        `the steering map of ${this.device} is full (${STEERING_ENTRIES} entries)`,
        'claim the address instead of steering each port',
        -result,
      )
    }
    if (result < 0) throw systemFailure(result, 'entering a port into the steering map', this.device)
    this.#entries.set(key.join(), { key, references: 1 })
  }

  /** Takes a reference away; without one it does nothing. */
  remove(address: Uint8Array, port: number): void {
    const name = steeringKey(checkAddress(address), port).join()
    const entry = this.#entries.get(name)
    if (entry === undefined || --entry.references > 0) return
    this.#entries.delete(name)
    this.#native.bpfMapDelete(this.#steering, entry.key)
  }

  /** Takes the program off the interface. Idempotent. */
  close(): void {
    for (const fd of this.#fds.splice(0).reverse()) this.#native.close(fd)
  }

  #keep(fd: number, call: string): number {
    if (fd < 0) throw systemFailure(fd, call, this.device)
    this.#fds.push(fd)
    return fd
  }

  #load(): number {
    const log = new Uint8Array(VERIFIER_LOG_BYTES)
    const program = buildProgram(this.#steering, this.#sockets)
    const fd = this.#native.bpfProgLoad(PROG_TYPE_XDP, program, 'MIT', PROGRAM_NAME, F_XDP_HAS_FRAGS, log)
    if (fd === -ERRNO.EINVAL || fd === -ERRNO.EACCES) {
      const words = new TextDecoder().decode(log.subarray(0, log.indexOf(0))).trimEnd()
      if (words !== '') {
        throw new NicError(
          'ZCRX_NIC_UNSUPPORTED',
          `the kernel's verifier refuses the XDP program: ${words.split('\n').slice(-4).join(' | ')}`,
          'Linux 5.18 or later is needed',
          -fd,
        )
      }
    }
    return this.#keep(fd, 'loading the XDP program')
  }

  #attach(program: number, facts: LinkInfo): void {
    const flags = this.mode === 'native' ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE
    let link = 0
    for (let attempt = 0; attempt < HOOK_RETRIES; attempt++) {
      link = this.#native.bpfLinkCreate(program, facts.index, ATTACH_TYPE_XDP, flags)
      if (link !== -ERRNO.EBUSY && link !== -ERRNO.EEXIST) break
      this.#native.poll(-1, 0, HOOK_RETRY_MS)
    }
    if (link >= 0) {
      this.#fds.push(link)
      return
    }
    if (link === -ERRNO.EBUSY || link === -ERRNO.EEXIST) throw this.#taken(-link)
    if (link === -ERRNO.EPERM || link === -ERRNO.ENODEV)
      throw systemFailure(link, 'attaching XDP', this.device)
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `${facts.driver || 'the driver'} of ${this.device} refuses ${this.mode} XDP (${errnoName(-link)})`,
      refusalRemedy(this.device, this.mode, facts, -link),
      -link,
    )
  }

  #taken(errno: number): NicError {
    const holder = linkInfo(this.#native, this.device).programs[0]
    if (holder === undefined) {
      return new NicError(
        'ZCRX_NIC_BUSY',
        `the XDP hook of ${this.device} was taken meanwhile`,
        'try again',
        errno,
      )
    }
    const processes = holdersOfProgram(holder.id)
    return new NicError(
      'ZCRX_NIC_BUSY',
      `the XDP hook of ${this.device} is taken by ${describe(this.#native, holder)}${
        processes.length > 0 ? `, held by ${processes.join(', ')}` : ''
      }`,
      // A link can't be detached from outside: only its holder can let go. What netlink attached goes by its own mode.
      processes.length > 0
        ? 'stop that process'
        : `ip link set dev ${this.device} ${XDP_KEYWORD[holder.mode]} off`,
      errno,
    )
  }
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

function checkAddress(address: Uint8Array): Uint8Array {
  if (address.length !== 4) throw new ArgumentError(`an IPv4 address has 4 bytes, not ${address.length}`)
  return address
}
