import { networkInterfaces } from 'node:os'
import { IpAddress } from '../../../address.ts'
import { type LinkInfo, loadNative } from '../../../driver/native/index.ts'
import type { NicInfo } from '../../../driver/nic.ts'
import { linkInfo } from '../../../driver/system.ts'
import { ArgumentError, type NicError } from '../../../errors.ts'
import type { LinuxSpec } from '../../../host/devices/index.ts'
import type { AddressesChange, StackReport } from '../../../host/interface.ts'
import { PAGE } from '../../../pages.ts'
import type { RingHost } from '../../ring/backend.ts'
import type { LinuxBackend } from './backend.ts'
import { LinuxHost } from './host.ts'
import { LinuxSockets } from './sockets.ts'

const NO_MAC = new Uint8Array(6)
/** Nothing that Linux counts is told apart from what others do on the machine. */
const NOTHING: StackReport = { frames: 0, copiedBytes: 0, drops: {}, tcp: {}, unsettled: 0 }

/**
 * The machine's own stack, in the place of one of ours: what a server or a client needs beside rings. With an interface and a queue
 * data is received into an area without copying; without, ordinary sockets copy it there.
 */
export class LinuxSystem implements RingHost {
  /** What is known of the interface; of ordinary sockets hardly anything. */
  readonly nic: { readonly info: NicInfo; readonly notes: readonly string[] }
  /** Listening sockets, made by system calls. */
  readonly sockets: LinuxSockets
  /** Nothing is waited for: addresses are the kernel's. */
  readonly pending = false
  /** Resolved. */
  readonly ready: Promise<void> = Promise.resolve()
  /** None. */
  readonly notes: readonly string[] = []
  /** An interface that goes away is told to its connections by the kernel. */
  onGone: (error: NicError) => void = () => {}
  /** The kernel follows its own addresses. */
  onAddresses: (change: AddressesChange) => void = () => {}
  readonly #host: LinuxHost
  readonly #name: string

  /** @throws ArgumentError, NicError */
  constructor(spec: LinuxSpec) {
    const { name, queue, queues, netns } = spec
    if (netns !== undefined)
      throw new ArgumentError(
        'rings of Linux are in the network namespace of their process',
        'run it there: ip netns exec NAME zcrxd run --device linux:…',
      )
    if (name !== '' && queues !== 1)
      throw new ArgumentError(
        `"linux:${name}" names ${queues === 0 ? 'no queue' : `${queues} queues`}`,
        `name one: linux:${name}/5; or none and no interface, linux:, for ordinary sockets`,
      )
    this.#host = new LinuxHost()
    this.sockets = new LinuxSockets(loadNative())
    this.#name = name
    const link = name === '' ? null : linkInfo(loadNative(), name)
    this.nic = { info: infoOf(name, queue, link), notes: [] }
  }

  /** Of the interface; of ordinary sockets those of all. */
  get addresses(): readonly IpAddress[] {
    const all = networkInterfaces()
    const named = this.#name === '' ? Object.values(all) : [all[this.#name]]
    return named.flatMap((one = []) =>
      one.flatMap(({ address }) => {
        const parsed = IpAddress.parse(address)
        return parsed === null ? [] : [parsed]
      }),
    )
  }

  /** The first that others can reach, else the first there is. */
  get address(): IpAddress {
    const all = this.addresses
    return all.find((one) => !one.loopback) ?? all[0] ?? this.listenAddress
  }

  /** Every address of both versions; of IPv4 where the machine has no IPv6. */
  get listenAddress(): IpAddress {
    return IpAddress.parse(this.addresses.some(({ version }) => version === 6) ? '::' : '0.0.0.0')!
  }

  /** Descriptors of the process are the kernel's. */
  adoptFd(fd: number): number {
    return fd
  }

  /** All zeros: Linux counts for the whole machine. */
  report(): StackReport {
    return NOTHING
  }

  ringBackend(): LinuxBackend {
    return this.#host.ringBackend()
  }

  /** It has nothing of its own to give back. */
  close(): void {}
}

function infoOf(name: string, queue: number, link: LinkInfo | null): NicInfo {
  return {
    driver: 'linux',
    mode: link === null ? 'sockets' : 'zero-copy receive',
    name,
    ifIndex: link?.index ?? 0,
    queue,
    mac: link?.mac ?? NO_MAC,
    mtu: link?.mtu ?? 65_535,
    chunkPayload: PAGE,
    tailBytes: 0,
    fillEntries: 0,
    ringPackets: 0,
    partialChecksums: false,
    placement: link === null ? 'side' : 'area',
  }
}
