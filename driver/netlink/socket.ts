import type { Native, Watcher } from '../native/index.ts'
import { ERRNO, systemFailure } from '../system.ts'
import {
  errnoOf,
  explanationOf,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  readMessages,
  writeMessage,
} from './message.ts'
import { NETLINK_ROUTE, type RouteRequest } from './route.ts'

/** The largest datagram of a dump (linux/netlink.h: what the kernel fills at the most). */
const DATAGRAM_BYTES = 32_768
const POLLIN = 1
/** The kernel answers requests while they are sent; later than this it answers never. */
const ANSWER_MS = 1000
/** Datagrams taken at a time, so that a flood of events can't keep the event loop. */
const MAX_DATAGRAMS = 64
/** The same where they are thrown away. */
const MAX_DISCARDED = 4096

/** What is held of the system; apart from the socket, so that it can be given back when that is collected. */
interface Holdings {
  readonly native: Native
  readonly fd: number
  watcher: Watcher | null
}

const abandoned = new FinalizationRegistry<Holdings>(release)

function release({ native, fd, watcher }: Holdings): void {
  watcher?.close()
  native.close(fd)
}

/** A socket of netlink(7): requests with their answers, or events of multicast groups. It belongs to one thread. */
export class RouteSocket {
  readonly #holdings: Holdings
  readonly #buffer = new Uint8Array(DATAGRAM_BYTES)
  #sequence = 1
  #open = true
  /** Events were lost: those that still wait are older than what is asked for now, and are thrown away. */
  #discarding = false

  /**
   * In the network namespace the thread is in. @param groups multicast groups, see `ROUTE_GROUPS`; 0 for requests only
   * @param protocol default rtnetlink(7)
   * @throws NicError
   */
  constructor(native: Native, groups: number, protocol: number = NETLINK_ROUTE) {
    const fd = native.netlinkOpen(protocol, groups)
    if (fd < 0) {
      const name = protocol === NETLINK_ROUTE ? 'rtnetlink' : `netlink protocol ${protocol}`
      throw systemFailure(fd, 'opening a netlink socket', name)
    }
    this.#holdings = { native, fd, watcher: null }
    abandoned.register(this, this.#holdings, this)
  }

  /**
   * Sends a request and waits for everything that answers it. Returns 0 or a negative errno; `-EINTR` when what a dump told
   * was changed meanwhile: parts of it may be missing.
   * @param explain is told what the kernel says in words with its acknowledgement, if it does
   */
  ask(
    request: RouteRequest,
    dump: boolean,
    visit: (message: NetlinkMessage) => void,
    explain?: (words: string) => void,
  ): number {
    const sequence = this.#sequence++
    const sent = this.#send(request, dump ? NLM_F_DUMP : NLM_F_ACK, sequence)
    if (sent < 0) return sent
    const { native, fd } = this.#holdings
    let changed = false
    for (;;) {
      const length = native.netlinkReceive(fd, this.#buffer)
      if (length === -ERRNO.EAGAIN) {
        if (native.poll(fd, POLLIN, ANSWER_MS) <= 0) return -ERRNO.ETIMEDOUT
        continue
      }
      if (length < 0) return length
      if (length > this.#buffer.length) return -ERRNO.EMSGSIZE
      for (const message of readMessages(this.#buffer.subarray(0, length))) {
        if (message.sequence !== sequence) continue
        changed ||= (message.flags & NLM_F_DUMP_INTR) !== 0
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          explain?.(explanationOf(message))
          return errnoOf(message) || (changed ? -ERRNO.EINTR : 0)
        }
        visit(message)
      }
    }
  }

  /** Sends a request that nobody waits for; errors come as events of type NLMSG_ERROR. Returns a negative errno when it can't. */
  tell(request: RouteRequest): number {
    return this.#send(request, 0, this.#sequence++)
  }

  /**
   * Hands out the messages that wait. False when some were lost (ENOBUFS, or too long for the buffer): then those that waited
   * are thrown away, and everything has to be asked for anew.
   */
  receive(visit: (message: NetlinkMessage) => void): boolean {
    const { native, fd } = this.#holdings
    let whole = !this.#discarding
    for (let i = 0; i < (whole ? MAX_DATAGRAMS : MAX_DISCARDED); i++) {
      const length = native.netlinkReceive(fd, this.#buffer)
      if (length === -ERRNO.ENOBUFS || length > this.#buffer.length) {
        this.#discarding = true
        whole = false
      } else if (length < 0) {
        this.#discarding = false
        break
      } else if (whole) for (const message of readMessages(this.#buffer.subarray(0, length))) visit(message)
    }
    return whole
  }

  /** Calls `callback` from the event loop whenever messages wait. Does not keep the process alive. Null ends it. */
  watch(callback: (() => void) | null): void {
    const { native, fd } = this.#holdings
    this.#holdings.watcher?.close()
    this.#holdings.watcher = null
    if (callback === null || !this.#open) return
    const watcher = new native.Watcher(fd)
    watcher.unref()
    watcher.start(callback, true)
    this.#holdings.watcher = watcher
  }

  /** Idempotent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    abandoned.unregister(this)
    release(this.#holdings)
  }

  #send(request: RouteRequest, flags: number, sequence: number): number {
    const bytes = writeMessage(
      request.type,
      NLM_F_REQUEST | flags | (request.flags ?? 0),
      sequence,
      request.body,
      request.attributes,
    )
    return this.#open ? this.#holdings.native.netlinkSend(this.#holdings.fd, bytes) : -ERRNO.EBADF
  }
}
