import type { Native } from '../native/index.ts'
import { ERRNO } from '../system.ts'
import type { NetlinkMessage } from './message.ts'
import { type LinkMessage, linkOf, readRoute } from './route.ts'
import { RouteSocket } from './socket.ts'

/** RTMGRP_LINK of linux/rtnetlink.h. */
const LINK_GROUP = 0x1

/** Who wants to know what becomes of an interface. */
export interface LinkListener {
  /** The interface was deleted, or moved to another network namespace. Called once, and nothing afterwards. */
  linkGone(): void
  /** Its hardware address as it is now, six bytes; called when it may have changed. */
  linkAddress(mac: Uint8Array): void
}

/**
 * Follows one interface over rtnetlink(7), from the event loop and whenever `look` is called. It does not keep the process
 * alive, nor its listener.
 */
export class LinkWatch {
  readonly #ifIndex: number
  readonly #socket: RouteSocket
  readonly #listener: WeakRef<LinkListener>
  readonly #visit = (message: NetlinkMessage): void => this.#take(message)
  #gone = false

  /**
   * In the network namespace the thread is in. Null where netlink is not to be had: then whoever uses the interface notices
   * what its descriptors say. The listener is not called before this returns.
   */
  static open(native: Native, ifIndex: number, listener: LinkListener): LinkWatch | null {
    try {
      return new LinkWatch(new RouteSocket(native, LINK_GROUP), ifIndex, listener)
    } catch {
      return null
    }
  }

  private constructor(socket: RouteSocket, ifIndex: number, listener: LinkListener) {
    this.#socket = socket
    this.#ifIndex = ifIndex
    this.#listener = new WeakRef(listener)
    const weak = new WeakRef(this)
    socket.watch(() => weak.deref()?.look())
  }

  /** Takes the events that wait. */
  look(): void {
    if (this.#gone || this.#socket.receive(this.#visit)) return
    this.ask()
  }

  /** Asks how the interface is now. */
  ask(): void {
    const result = this.#socket.ask(linkOf(this.#ifIndex), false, this.#visit)
    if (result === -ERRNO.ENODEV) this.#end()
  }

  /** Stops following. Idempotent. */
  close(): void {
    this.#gone = true
    this.#socket.close()
  }

  #take(message: NetlinkMessage): void {
    if (this.#gone) return
    const read = readRoute(message)
    if (read?.kind !== 'link' || read.ifIndex !== this.#ifIndex) return
    if (read.gone) this.#end()
    else this.#tellAddress(read)
  }

  #tellAddress({ mac }: LinkMessage): void {
    if (mac !== null) this.#listener.deref()?.linkAddress(mac)
  }

  #end(): void {
    if (this.#gone) return
    this.#gone = true
    this.#socket.watch(null)
    this.#listener.deref()?.linkGone()
  }
}
