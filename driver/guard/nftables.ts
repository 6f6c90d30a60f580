import { threadId } from 'node:worker_threads'
import { NicError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import {
  errnoOf,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLMSG_DONE,
  NLMSG_ERROR,
  readAttributes,
  readMessages,
} from '../netlink/message.ts'
import { NetlinkWriter, NFGEN_BYTES } from '../netlink/writer.ts'
import { ERRNO, errnoName, inNamespace, processStart, systemFailure } from '../system.ts'
import { type Guard, portKey } from './guard.ts'
import {
  NETLINK_NETFILTER,
  NFT_MSG,
  NFTA,
  nftablesType,
  putChain,
  putElement,
  putRule,
  putSet,
  SETS,
  SUBSYSTEM,
} from './nftables-messages.ts'

/** Both IP versions (NFPROTO_INET). */
const FAMILY_INET = 1
const NFNL_MSG_BATCH_BEGIN = 16
const NFNL_MSG_BATCH_END = 17
/** Linux 5.12: the table is the socket's, which alone can change it and takes it along when it closes. */
const NFT_TABLE_F_OWNER = 2

const REPLY_BYTES = 1 << 16
const STALE = /^zcrx_(\d+)_(\d+)(?:_\d+)+$/

/** Of this thread. */
let tables = 0

/**
 * A table of nftables whose rules drop TCP to the held addresses and ports before connection tracking, and before the kernel's
 * TCP. Taps (AF_PACKET) see the segments before.
 *
 * The table is removed by the kernel when the socket closes, however the process ends. Before Linux 5.12 it is removed by
 * `close`, and by the next guard that is made in the same namespaces when the process that made it is gone.
 */
export class NftablesGuard implements Guard {
  /** `zcrx_<pid>_<start time>_<thread>_<n>`; the start time tells a process from a later one with its number. */
  readonly table: string
  readonly #native: Native
  readonly #device: string
  #fd: number
  #owned: boolean
  #sequence = 1
  readonly #held = new Set<string>()

  /**
   * @param owned false = as on a kernel that has no owned tables
   * @throws NicError `ZCRX_NIC_PERMISSION` without CAP_NET_ADMIN, `ZCRX_NIC_UNSUPPORTED` where the kernel has no nftables
   */
  constructor(native: Native, device: string, netns: string | undefined, owned = true) {
    this.#native = native
    this.#device = device
    this.#owned = owned
    this.table = `zcrx_${process.pid}_${processStart(process.pid)}_${threadId}_${tables++}`
    const fd = inNamespace(native, netns, () => native.netlinkOpen(NETLINK_NETFILTER, 0))
    if (fd < 0) throw this.#failure(fd, 'opening a netfilter socket')
    this.#fd = fd
    try {
      this.#removeStale()
      this.#create()
    } catch (error) {
      native.close(fd)
      throw error
    }
  }

  hold(address: Uint8Array, port: number): void {
    const added = this.#element(NFT_MSG.newElement, NLM_F_CREATE, address, port)
    this.#expect(added, `changing the ports of ${this.table}`)
    this.#held.add(portKey(address, port))
  }

  release(address: Uint8Array, port: number): void {
    if (this.#fd < 0 || !this.#held.delete(portKey(address, port))) return
    // Refused only when somebody has taken the table away, and the port with it.
    this.#element(NFT_MSG.delElement, 0, address, port)
  }

  close(): void {
    if (this.#fd < 0) return
    if (!this.#owned) this.#batch(() => [this.#remove(this.table)])
    this.#native.close(this.#fd)
    this.#fd = -1
  }

  #create(): void {
    const result = this.#tryCreate()
    // A kernel that does not know the flag refuses it.
    if (this.#owned && (result === -ERRNO.EOPNOTSUPP || result === -ERRNO.EINVAL)) {
      this.#owned = false
      this.#expect(this.#tryCreate(), 'making a table of nftables')
    } else this.#expect(result, 'making a table of nftables')
  }

  #tryCreate(): number {
    const { table } = this
    const parts: Message[] = [
      {
        type: NFT_MSG.newTable,
        flags: NLM_F_CREATE | NLM_F_EXCL,
        attributes: (writer) => {
          writer.text(NFTA.tableName, table)
          if (this.#owned) writer.number(NFTA.tableFlags, NFT_TABLE_F_OWNER)
        },
      },
      { type: NFT_MSG.newChain, flags: NLM_F_CREATE, attributes: (writer) => putChain(writer, table) },
    ]
    for (const set of SETS) {
      parts.push(
        { type: NFT_MSG.newSet, flags: NLM_F_CREATE, attributes: (writer) => putSet(writer, table, set) },
        { type: NFT_MSG.newRule, flags: NLM_F_CREATE, attributes: (writer) => putRule(writer, table, set) },
      )
    }
    return this.#batch(() => parts)
  }

  #element(type: number, flags: number, address: Uint8Array, port: number): number {
    const attributes = (writer: NetlinkWriter): void => putElement(writer, this.table, address, port)
    return this.#batch(() => [{ type, flags, attributes }])
  }

  #remove(table: string): Message {
    return { type: NFT_MSG.delTable, flags: 0, attributes: (writer) => writer.text(NFTA.tableName, table) }
  }

  /** Tables of processes that are gone: they had no owner, or there would be none. */
  #removeStale(): void {
    const request = new NetlinkWriter().message(
      nftablesType(NFT_MSG.getTable),
      NLM_F_DUMP,
      this.#sequence++,
      FAMILY_INET,
      0,
    )
    const names: string[] = []
    const sent = this.#native.netlinkSend(this.#fd, request.finish())
    if (sent < 0) throw this.#failure(sent, 'asking for the tables of nftables')
    const failed = this.#replies((payload) => {
      const name = readAttributes(payload, NFGEN_BYTES).get(NFTA.tableName)
      if (name !== undefined) names.push(Buffer.from(name).toString('latin1').replace(/\0$/, ''))
    })
    this.#expect(failed, 'asking for the tables of nftables')
    for (const name of names) {
      const match = STALE.exec(name)
      // Who has just removed it, or may not be asked, leaves nothing to do.
      if (match !== null && processStart(Number(match[1])) !== match[2])
        this.#batch(() => [this.#remove(name)])
    }
  }

  /** Sends the messages as one transaction: all or none. Returns 0 or the first negative errno. */
  #batch(messages: () => Message[]): number {
    const writer = new NetlinkWriter()
    writer.message(NFNL_MSG_BATCH_BEGIN, 0, this.#sequence++, 0, SUBSYSTEM)
    for (const { type, flags, attributes } of messages()) {
      writer.message(nftablesType(type), flags | NLM_F_ACK, this.#sequence++, FAMILY_INET, 0, () => {
        attributes(writer)
      })
    }
    writer.message(NFNL_MSG_BATCH_END, 0, this.#sequence++, 0, SUBSYSTEM)
    const sent = this.#native.netlinkSend(this.#fd, writer.finish())
    return sent < 0 ? sent : this.#replies()
  }

  /** Reads what the kernel has answered, which it does before the request returns. Returns 0 or the first error. */
  #replies(each: (payload: Uint8Array) => void = () => {}): number {
    const reply = new Uint8Array(REPLY_BYTES)
    let failed = 0
    for (;;) {
      const bytes = this.#native.netlinkReceive(this.#fd, reply)
      if (bytes === -ERRNO.EAGAIN) return failed
      if (bytes < 0) return failed || bytes
      for (const message of readMessages(reply.subarray(0, Math.min(bytes, REPLY_BYTES)))) {
        if (message.type === NLMSG_ERROR) failed ||= errnoOf(message)
        else if (message.type !== NLMSG_DONE) each(message.body)
      }
    }
  }

  #expect(result: number, call: string): void {
    if (result < 0) throw this.#failure(result, call)
  }

  #failure(result: number, call: string): NicError {
    const errno = -result
    if (errno === ERRNO.EPERM || errno === ERRNO.EACCES) return systemFailure(result, call, this.#device)
    return new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `${call} failed with ${errnoName(errno)}`,
      "a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET, or guard: 'socket'",
      errno,
    )
  }
}

interface Message {
  readonly type: number
  readonly flags: number
  readonly attributes: (writer: NetlinkWriter) => void
}
