import type { IpAddress } from '../../address.ts'
import type { Stack } from '../../stack/stack.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'

/** Holds ports at addresses of the machine's, so that its own kernel does not answer there. */
export interface PortGuard {
  /** @param address network order @throws NicError when somebody has the port */
  hold(address: Uint8Array, port: number): void
  release(address: Uint8Array, port: number): void
}

/** A port that is listened on. */
interface Listening {
  readonly stack: Stack
  /** As it was bound. */
  readonly address: IpAddress
  readonly port: number
  readonly v6Only: boolean
  /** The addresses that are steered for it. */
  readonly at: IpAddress[]
}

/** What the NICs have been asked to bring to the stacks: the ports that are listened on, and those of connections. */
export class Steered {
  /** See `Kernel.portGuard`. */
  guard: PortGuard | null = null
  readonly #listening: Listening[] = []

  /** Connections of the stack are steered until they end, from whatever port. */
  follow(stack: Stack): void {
    stack.tcp.onEnd = (tcb) => unsteerConnection(stack, tcb, tcb.localPort)
    stack.tcp.onPortChange = (tcb, oldPort) => {
      if (tcb.steered === null) return
      unsteerConnection(stack, tcb, oldPort)
      this.#keep(stack, tcb)
    }
  }

  /**
   * Frames to this address and port come to the stack from now on: to a wildcard, those to every address that there is, and
   * with `addressAdded` will be. @param v6Only see `SocketOptions` @throws NicError
   */
  listen(stack: Stack, address: IpAddress, port: number, v6Only: boolean): void {
    const entry: Listening = { stack, address, port, v6Only, at: [] }
    try {
      for (const { address: local } of stack.link.addresses)
        if (takes(entry, local)) this.#steerAt(entry, local)
    } catch (error) {
      this.#unsteer(entry)
      throw error
    }
    this.#listening.push(entry)
  }

  /** Undoes one `listen`. */
  unlisten(stack: Stack, address: IpAddress, port: number, v6Only: boolean): void {
    const at = this.#listening.findIndex(
      (entry) =>
        entry.stack === stack &&
        entry.port === port &&
        entry.v6Only === v6Only &&
        entry.address.equals(address),
    )
    if (at >= 0) this.#unsteer(this.#listening.splice(at, 1)[0]!)
  }

  /**
   * What listens at an address that the stack has got gets its frames. Returns why some don't. @param address the stack's
   * already
   */
  addressAdded(stack: Stack, address: IpAddress): unknown[] {
    const failures: unknown[] = []
    for (const entry of this.#listening) {
      if (entry.stack !== stack || !takes(entry, address)) continue
      try {
        this.#steerAt(entry, address)
      } catch (error) {
        failures.push(error)
      }
    }
    return failures
  }

  /** The contrary: nobody new gets there, connections go on. */
  addressRemoved(stack: Stack, address: IpAddress): void {
    for (const tcb of [...stack.tcp]) if (tcb.local.equals(address)) this.#keep(stack, tcb)
    for (const entry of this.#listening) {
      const at = entry.at.findIndex((one) => one.equals(address))
      if (entry.stack !== stack || at < 0) continue
      entry.at.splice(at, 1)
      this.#unsteerAt(entry, address)
    }
  }

  /**
   * A connection's segments come to the stack until it has ended, whatever becomes of descriptors: the host's kernel would
   * answer them with a reset. From whatever queue, if it began here and has siblings: the answer to its SYN may come to any.
   * @throws NicError
   */
  connection(stack: Stack, tcb: Tcb): void {
    // What siblings share (SO_REUSEPORT) is nobody's, and brought to none from the others' queues.
    const everyQueue = tcb.portTaken
    stack.nic.roles.steering?.steer(tcb.local.bytes(), tcb.localPort, everyQueue)
    tcb.steered = everyQueue ? 'everywhere' : 'here'
  }

  /** The listener of a port goes, its connections stay. */
  connections(stack: Stack, port: number): void {
    for (const tcb of [...stack.tcp]) {
      if (tcb.localPort === port) this.#keep(stack, tcb)
    }
  }

  /** The connection was reached because somebody listened, or from another port. */
  #keep(stack: Stack, tcb: Tcb): void {
    if (tcb.steered !== null) return
    try {
      this.connection(stack, tcb)
    } catch {
      // The NIC can't hold one more: the peer hears of it from us, with a number that it accepts.
      stack.tcp.abort(tcb)
    }
  }

  #steerAt(entry: Listening, local: IpAddress): void {
    const { stack, port, at } = entry
    if (at.some((one) => one.equals(local))) return
    const bytes = local.bytes()
    const guard = stack.link.isOwn(local) ? null : this.guard
    guard?.hold(bytes, port)
    try {
      stack.nic.roles.steering?.steer(bytes, port)
    } catch (error) {
      guard?.release(bytes, port)
      throw error
    }
    at.push(local)
  }

  #unsteerAt({ stack, port }: Listening, local: IpAddress): void {
    stack.nic.roles.steering?.unsteer(local.bytes(), port)
    this.guard?.release(local.bytes(), port)
  }

  #unsteer(entry: Listening): void {
    for (const local of entry.at.splice(0)) this.#unsteerAt(entry, local)
  }
}

/** @param port the one that was steered */
function unsteerConnection(stack: Stack, tcb: Tcb, port: number): void {
  const { steered } = tcb
  if (steered === null) return
  tcb.steered = null
  stack.nic.roles.steering?.unsteer(tcb.local.bytes(), port, steered === 'everywhere')
}

/** The IPv6 wildcard stands for IPv4 too, unless it must not. */
function takes({ address, v6Only }: Listening, local: IpAddress): boolean {
  if (!address.unspecified) return address.equals(local)
  return address.version === local.version || (address.version === 6 && !v6Only)
}
