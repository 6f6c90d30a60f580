import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { IpAddress } from '../../address.ts'
import { loadNative } from '../../driver/native/index.ts'
import type { DeviceQueue, Placement } from './calls.ts'
import { NoTranslation } from './no-translation.ts'

/** Parameters of the module that the NIC is (scripts/vm/zcnic), which say how it places payload and what it has done. */
const PARAMETERS = '/sys/module/zcnic/parameters'
const DEVICE = 'zc0'
/** `mode`: a buffer for each packet, several packets in one, the payload beside its headers. */
const MODE = { own: 0, packed: 1, whole: 3 }
const COUNTS = { dropped: 'drops', split: 'rx_netmem' }

/** The machine of scripts/vm with `--zcnic`: a queue for zero copy, and the other end of its wire in a network namespace. */
export class LinuxDevice implements DeviceQueue {
  readonly ifIndex: number
  readonly queue: number
  /** The queue's addresses: the peer's, and ours. */
  readonly addresses: readonly [client: IpAddress, server: IpAddress]
  readonly #peer: string
  readonly #before: Readonly<Record<keyof typeof COUNTS, number>>

  private constructor(environment: NodeJS.ProcessEnv) {
    const { ZCRX_VM_IFINDEX, ZCRX_VM_RXQ, ZCRX_VM_PEER, ZCRX_VM_LOCAL, ZCRX_VM_NS } = environment
    this.ifIndex = Number(ZCRX_VM_IFINDEX)
    this.queue = Number(ZCRX_VM_RXQ)
    this.addresses = [IpAddress.parse(ZCRX_VM_PEER!)!, IpAddress.parse(ZCRX_VM_LOCAL!)!]
    this.#peer = `/proc/${ZCRX_VM_NS}`
    this.place({ pack: false, offset: 0 })
    this.#before = { dropped: count('dropped'), split: count('split') }
  }

  /** @throws NoTranslation elsewhere */
  static here(): LinuxDevice {
    if (process.env.ZCRX_VM_IFINDEX === undefined)
      throw new NoTranslation('a NIC with queues for zero copy (`npm run vm -- --zcnic -- …` has one)')
    return new LinuxDevice(process.env)
  }

  get dropped(): number {
    return count('dropped') - this.#before.dropped
  }

  get split(): number {
    return count('split') - this.#before.split
  }

  place({ pack, offset, whole }: Placement): void {
    if (offset !== undefined) writeFileSync(`${PARAMETERS}/off0`, String(offset))
    if (pack === undefined && whole === undefined) return
    const mode = whole === true ? MODE.whole : pack === true ? MODE.packed : MODE.own
    writeFileSync(`${PARAMETERS}/mode`, String(mode))
  }

  setUp(up: boolean): void {
    const { status } = spawnSync('ip', ['link', 'set', DEVICE, up ? 'up' : 'down'])
    if (status !== 0) throw new Error(`ip link set ${DEVICE}: status ${status}`)
  }

  /** It has four. */
  need(): void {}

  /** Sockets that are made meanwhile are the peer's. */
  inPeer<T>(make: () => T): T {
    const native = loadNative()
    const [own, peer] = ['/proc/thread-self', this.#peer].map((path) => openSync(`${path}/ns/net`, 'r')) as [
      number,
      number,
    ]
    native.setNetns(peer)
    try {
      return make()
    } finally {
      native.setNetns(own)
      closeSync(own)
      closeSync(peer)
    }
  }
}

function count(what: keyof typeof COUNTS): number {
  return Number(readFileSync(`${PARAMETERS}/${COUNTS[what]}`, 'utf8'))
}
