import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename } from 'node:path'
import { IpAddress } from '../../address.ts'
import { loadNative } from '../../driver/native/index.ts'
import * as abi from '../../uapi/abi/index.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { nextPort } from '../differential/linux-world.ts'
import { type OtherFile, type Route, SocketCalls, type UserSpace } from './calls.ts'
import { LinuxDevice } from './linux-device.ts'
import { HUGE_PAGE, PAGE } from './memory.ts'
import { NoTranslation } from './no-translation.ts'

const LOOPBACK = { lo: IpAddress.parse('127.0.0.1')!, lo6: IpAddress.parse('::1')! }
/** The record's quiet times are those of a recorder that was in no hurry: so much less is waited, but where time itself is asked about. */
const HASTE = 8
/** How long (milliseconds) a completion is waited for that is expected, and that a kernel with another answer does not have. */
const LONGEST_WAIT_MS = 1000
/** What the recorder sent before it received lay in the receiver's queue. */
const SOCKET_BUFFER = 4 << 20
const [SO_SNDBUFFORCE, SO_RCVBUFFORCE] = [32, 33]
const NOBODY = 65_534
/** What the machine of scripts/vm sets aside. */
const HUGE_PAGES = 64
const RESERVED_HUGE_PAGES = '/proc/sys/vm/nr_hugepages'
const NET = '/sys/class/net'

/** `socket(2)` of other protocols. */
const OTHER_SOCKETS: Readonly<
  Record<Exclude<OtherFile, 'memfd' | 'file'>, readonly [family: number, type: number, protocol: number]>
> = {
  udp: [abi.AF_INET, 2, 0],
  unix: [1, 2, 0],
  raw: [abi.AF_INET, 3, 1],
  packet: [17, 3, 0],
  netlink: [16, 3, 0],
  mptcp: [abi.AF_INET, abi.SOCK_STREAM, 262],
}

/** What a process of Node's can't do by itself. */
const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/_beyond_mapping$|^add_area\.unmapped$/, 'memory behind which surely nothing lies'],
  [/\barg_bad$/, 'a pointer to nothing in the place of a structure'],
  [/\.userns_root$/, 'a user namespace of its own'],
  [/dmabuf_udmabuf$|^dev_reg\.dmabuf$/, 'a dma-buf'],
  [/^import\.other_process$/, 'another process that shares its memory'],
]

/** Why a scenario is not played on Linux; null: it is tried. */
export function elsewhere(name: string): string | null {
  return ELSEWHERE.find(([pattern]) => pattern.test(name))?.[1] ?? null
}

/** The kernel that this process runs on, its loopback interface, the NIC of scripts/vm where it is there, and real time. */
export class LinuxMachine extends SocketCalls {
  readonly host: RingHost
  readonly calls: Ring
  readonly space: UserSpace
  readonly longestWaitMs = LONGEST_WAIT_MS
  readonly clock = {
    now: (): number => performance.now() * 1000 * this.#haste,
    advanceTo: (us: number): void => {
      const ms = us / 1000 / this.#haste - performance.now()
      if (ms > 0) Atomics.wait(this.#nap, 0, 0, ms)
    },
  }
  readonly #haste: number
  readonly #scatters: boolean
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))
  /** What addresses of the host's are asked of, and memory of its own comes from. */
  readonly #backend: ReturnType<RingHost['ringBackend']>
  readonly #mapped: ArrayBuffer[] = []
  /** Close descriptors that are no sockets. */
  readonly #files: (() => void)[] = []
  #capable = true
  #device: LinuxDevice | null = null

  /** @param name of the scenario */
  constructor(host: RingHost, name: string) {
    super()
    this.host = host
    // What a NIC has dropped comes again in TCP's time.
    this.#haste = /timeout|^dev\./.test(name) ? 1 : HASTE
    this.#scatters = name.endsWith('_small_pages')
    const backend = host.ringBackend()
    this.#backend = backend
    this.calls = Ring.queueInit(8, { ringBackend: () => backend })
    this.space = backend
  }

  next(): number {
    return this.clock.now() + 1000
  }

  /** Loopback passes everything on while it is sent. */
  settle(): void {}

  get device(): LinuxDevice {
    this.#device ??= LinuxDevice.here()
    return this.#device
  }

  interfaceIndex(name: string): number {
    const found = readdirSync(NET).find((one) => one === name || driverOf(one) === name)
    // A veth pair's end is as good as another.
    if (found === undefined && name.startsWith('veth')) return this.interfaceIndex('v0')
    if (found === undefined) throw new NoTranslation(`an interface ${name}`)
    return Number(readFileSync(`${NET}/${found}/ifindex`, 'utf8'))
  }

  /** The effective capabilities of a process that was root's follow its effective user (capabilities(7)). */
  setCapable(capable: boolean): void {
    if (process.getuid!() !== 0) throw new NoTranslation('capabilities, which only root has to drop')
    process.seteuid!(capable ? 0 : NOBODY)
    this.#capable = capable
  }

  limitLockedMemory(): never {
    throw new NoTranslation('one capability without the others')
  }

  openOther(kind: OtherFile): number {
    const fd =
      kind === 'memfd'
        ? loadNative().createMemfd('other', HUGE_PAGE, false)
        : kind === 'file'
          ? openSync('/dev/null', 'r')
          : this.#otherSocket(kind)
    if (fd < 0) throw new NoTranslation(`a ${kind} descriptor: ${abi.errnoName(fd)}`)
    if (kind === 'file') this.#files.push(() => closeSync(fd))
    if (kind === 'memfd') this.#files.push(() => loadNative().close(fd))
    return fd
  }

  #otherSocket(kind: keyof typeof OTHER_SOCKETS): number {
    const fd = this.call((sqe) => sqe.prepSocket(...OTHER_SOCKETS[kind]))
    if (fd >= 0) this.sockets.add(fd)
    return fd
  }

  isOpen(fd: number): boolean {
    try {
      fstatSync(fd)
      return true
    } catch {
      return false
    }
  }

  registerBy(fd: number, opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    return loadNative().uringRegister(fd, opcode, arg, nrArgs)
  }

  map(bytes: number, huge: boolean): Uint8Array {
    if (!huge) return this.#scatters ? this.#scattered(bytes) : this.#backend.allocate(bytes)
    const whole = Math.ceil(bytes / HUGE_PAGE) * HUGE_PAGE
    let memory = loadNative().mapMemory(whole, true, -1)
    if (memory === -abi.ENOMEM && process.env.ZCRX_VM !== undefined) {
      writeFileSync(RESERVED_HUGE_PAGES, String(HUGE_PAGES))
      memory = loadNative().mapMemory(whole, true, -1)
    }
    if (typeof memory === 'number') throw new NoTranslation(`pages of 2 MiB: ${abi.errnoName(memory)}`)
    this.#mapped.push(memory)
    return new Uint8Array(memory, 0, bytes)
  }

  /** Memory of which no page lies behind its neighbour in the machine either: what is between them is somebody else's. */
  #scattered(bytes: number): Uint8Array {
    const [own, between] = [0, 1].map(() => {
      const memory = loadNative().mapMemory(bytes, false, -1)
      if (typeof memory === 'number') throw new NoTranslation(`pages: ${abi.errnoName(memory)}`)
      this.#mapped.push(memory)
      return new Uint8Array(memory)
    }) as [Uint8Array, Uint8Array]
    for (let at = 0; at < bytes; at += PAGE) for (const memory of [own, between]) memory[at] = 1
    return own
  }

  mapFile(bytes: number): Uint8Array {
    const native = loadNative()
    const fd = native.createMemfd('area', bytes, false)
    const memory = native.mapMemory(bytes, false, fd)
    native.close(fd)
    if (typeof memory === 'number') throw new NoTranslation(`a file that is mapped: ${abi.errnoName(memory)}`)
    this.#mapped.push(memory)
    return new Uint8Array(memory)
  }

  /** A listener with one connection that nobody accepts takes no further SYN. */
  connecting(family: number): number {
    const port = this.freePort()
    this.listen(family, this.loopback(family, 1), port, 0)
    const remote = abi.sockaddrOf(this.loopback(family, 1), port)
    this.call((sqe) => sqe.prepConnect(this.socket(family), remote))
    const fd = this.socket(family)
    this.begin((sqe) => sqe.prepConnect(fd, remote))
    return fd
  }

  release(): void {
    if (!this.#capable) this.setCapable(true)
    this.#device?.place({ pack: false, offset: 0 })
    for (const fd of [...this.sockets]) this.close(fd)
    for (const close of this.#files.splice(0)) close()
    this.calls.queueExit()
    for (const memory of this.#mapped.splice(0)) loadNative().release(new Uint8Array(memory))
  }

  protected override prepared(fd: number): void {
    for (const name of [SO_RCVBUFFORCE, SO_SNDBUFFORCE])
      this.setOption(fd, abi.SOL_SOCKET, name, SOCKET_BUFFER)
  }

  protected override clientSocket(route: Route, family: number): number {
    return route.startsWith('dev') ? this.device.inPeer(() => this.socket(family)) : this.socket(family)
  }

  protected override addressOf(route: Route, side: 0 | 1): IpAddress {
    if (route === 'dev') return this.device.addresses[side]
    if (route === 'dev6') throw new NoTranslation('IPv6 over the NIC')
    return LOOPBACK[route]
  }

  protected override freePort(): number {
    return nextPort()
  }
}

function driverOf(name: string): string {
  try {
    return basename(readlinkSync(`${NET}/${name}/device/driver`))
  } catch {
    return ''
  }
}
