import type { ChildProcess } from 'node:child_process'
import type { Nic } from '../../driver/nic.ts'
import { PacketNic } from '../../driver/packet/index.ts'
import { RawNic } from '../../driver/raw/index.ts'
import { type XdpMode, XdpNic } from '../../driver/xdp/index.ts'
import { VethPair, type VethPairOptions } from './netns.ts'
import { TapPlace } from './tap-place.ts'

/** The Linux at the other end: what runs there, and where it is reached. */
export interface LinuxPeer {
  /** Its network namespace. */
  readonly peer: string
  readonly peerAddress: string
  readonly peerAddress6: string
  start(ns: string, command: string, ...args: string[]): ChildProcess
}

/** A way in with a Linux at the other end. */
export interface Way extends LinuxPeer {
  /** Opens the NIC. @param mode of XDP; default native */
  open(version: 4 | 6, mode?: XdpMode): Nic
  /** An address of the machine's own that the stack can have there; null when there are only others. */
  hostAddress(version: 4 | 6): string | null
  destroy(): void
}

/** A veth pair, and AF_XDP at our end of it. */
export class XdpWay extends VethPair implements Way {
  open(_version: 4 | 6, mode: XdpMode = 'native'): Nic {
    return XdpNic.open({ device: this.device, netns: this.oursPath, mode })
  }

  hostAddress(version: 4 | 6): string {
    return version === 4 ? this.ourAddress : this.ourAddress6
  }
}

/** A veth pair, and a packet socket at our end of it. */
export class PacketWay extends VethPair implements Way {
  open(): Nic {
    return PacketNic.open({ device: this.device, netns: this.oursPath })
  }

  hostAddress(version: 4 | 6): string {
    return version === 4 ? this.ourAddress : this.ourAddress6
  }
}

/** A veth pair, and raw sockets of the machine at our end. */
export class RawWay extends VethPair implements Way {
  open(version: 4 | 6): Nic {
    return RawNic.open({ address: this.hostAddress(version), netns: this.oursPath })
  }

  hostAddress(version: 4 | 6): string {
    return version === 4 ? this.ourAddress : this.ourAddress6
  }
}

/** A TAP device of which we are the far end. */
export class TapWay implements Way {
  readonly #place: TapPlace

  constructor(options: VethPairOptions) {
    this.#place = new TapPlace(options)
  }

  get peer(): string {
    return this.#place.peer
  }
  get peerAddress(): string {
    return this.#place.peerAddress
  }
  get peerAddress6(): string {
    return this.#place.peerAddress6
  }
  start(ns: string, command: string, ...args: string[]): ChildProcess {
    return this.#place.start(ns, command, ...args)
  }
  open(): Nic {
    return this.#place.open()
  }
  hostAddress(): null {
    return null
  }
  destroy(): void {
    this.#place.destroy()
  }
}
