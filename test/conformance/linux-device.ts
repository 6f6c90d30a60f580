import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IpAddress } from '../../address.ts'
import { loadNative } from '../../driver/native/index.ts'
import { inNamespace } from '../../driver/system.ts'
import { type NicQueue, nicQueue } from '../differential/linux-world.ts'
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
  readonly #netns: string
  readonly #before: Readonly<Record<keyof typeof COUNTS, number>>

  private constructor({ ifIdx, ifRxq, peer, local, netns }: NicQueue) {
    this.ifIndex = ifIdx
    this.queue = ifRxq
    this.addresses = [peer, local]
    this.#netns = netns
    this.place({ pack: false, offset: 0 })
    this.#before = { dropped: count('dropped'), split: count('split') }
  }

  /** @throws NoTranslation elsewhere */
  static here(): LinuxDevice {
    const nic = nicQueue(process.env)
    if (nic === null)
      throw new NoTranslation('a NIC with queues for zero copy (`npm run vm -- --zcnic -- …` has one)')
    return new LinuxDevice(nic)
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
    return inNamespace(loadNative(), this.#netns, make)
  }
}

function count(what: keyof typeof COUNTS): number {
  return Number(readFileSync(`${PARAMETERS}/${COUNTS[what]}`, 'utf8'))
}
