import type { Native } from '../native/index.ts'
import { ERRNO } from '../system.ts'
import { type NetlinkAttribute, type NetlinkMessage, readAttributes } from './message.ts'
import { RouteSocket } from './socket.ts'

/** Generic netlink (genetlink(7), linux/genetlink.h): families that are found by their name. */

export const NETLINK_GENERIC = 16
/** struct genlmsghdr. */
export const GENERIC_HEADER_BYTES = 4

const GENL_ID_CTRL = 16
const CTRL_CMD_GETFAMILY = 3
const CTRL_ATTR_FAMILY_ID = 1
const CTRL_ATTR_FAMILY_NAME = 2

/** One family of generic netlink, in the network namespace that the thread was in when it was opened. */
export class GenericFamily {
  readonly #socket: RouteSocket
  readonly #id: number
  #said = ''

  private constructor(socket: RouteSocket, id: number) {
    this.#socket = socket
    this.#id = id
  }

  /** Null when the kernel has no family of that name. @throws NicError */
  static open(native: Native, name: string): GenericFamily | null {
    const socket = new RouteSocket(native, 0, NETLINK_GENERIC)
    let id = 0
    const wanted: NetlinkAttribute = [CTRL_ATTR_FAMILY_NAME, new TextEncoder().encode(`${name}\0`)]
    socket.ask(requestOf(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, [wanted]), false, (message) => {
      id = familyId(message) ?? id
    })
    if (id !== 0) return new GenericFamily(socket, id)
    socket.close()
    return null
  }

  /**
   * Attributes of the one message that answers a command, or a negative errno; `-ENODATA` when nothing answers.
   * @param command of the family
   */
  ask(command: number, attributes: readonly NetlinkAttribute[]): Map<number, Uint8Array> | number {
    let answer: Map<number, Uint8Array> | null = null
    const result = this.#exchange(command, attributes, false, (each) => {
      answer = each
    })
    return result < 0 ? result : (answer ?? -ERRNO.ENODATA)
  }

  /** Does a command whose answer, if there is any, says nothing new. 0 or a negative errno. */
  order(command: number, attributes: readonly NetlinkAttribute[]): number {
    return this.#exchange(command, attributes, false, () => {})
  }

  /** Everything of a kind, message by message. 0 or a negative errno; `-EINTR` when it changed meanwhile. */
  dump(
    command: number,
    attributes: readonly NetlinkAttribute[],
    visit: (attributes: Map<number, Uint8Array>) => void,
  ): number {
    return this.#exchange(command, attributes, true, visit)
  }

  /** What the kernel said in words with the last acknowledgement: mostly why it refused. Empty when nothing. */
  get said(): string {
    return this.#said
  }

  #exchange(
    command: number,
    attributes: readonly NetlinkAttribute[],
    dump: boolean,
    visit: (attributes: Map<number, Uint8Array>) => void,
  ): number {
    this.#said = ''
    return this.#socket.ask(
      requestOf(this.#id, command, attributes),
      dump,
      (message) => {
        // A copy: what acknowledges the request comes to the same place.
        if (message.type === this.#id) visit(readAttributes(message.body.slice(), GENERIC_HEADER_BYTES))
      },
      (words) => {
        this.#said = words
      },
    )
  }

  /** Idempotent. */
  close(): void {
    this.#socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** The number of a family in the controller's answer; undefined when it has none. */
export function familyId(message: NetlinkMessage): number | undefined {
  const id = readAttributes(message.body, GENERIC_HEADER_BYTES).get(CTRL_ATTR_FAMILY_ID)
  return id === undefined || id.length < 2 ? undefined : id[0]! | (id[1]! << 8)
}

function requestOf(type: number, command: number, attributes: readonly NetlinkAttribute[]) {
  // Version 1 of the family; the rest is reserved.
  return { type, body: Uint8Array.of(command, 1, 0, 0), attributes }
}
