import { IpAddress } from '../../address.ts'
import { sockaddrOf } from '../../uapi/abi/sockaddr.ts'
import { ZCRX_REG_NODEV } from '../../uapi/abi/zcrx.ts'
import { DEVICE_INDEX, DEVICE_QUEUE, Machine } from '../conformance/machine.ts'
import type { Need, QueueOf, Side, World } from './world.ts'

type Addresses = Readonly<Record<4 | 6, Readonly<Record<Side, IpAddress>>>>

const ADDRESSES: Addresses = {
  4: { client: IpAddress.parse('192.0.2.1')!, server: IpAddress.parse('192.0.2.2')! },
  6: { client: IpAddress.parse('2001:db8::1')!, server: IpAddress.parse('2001:db8::2')! },
}
/** Of the NIC whose queues instances can have. */
const DEVICE_ADDRESSES: Addresses = {
  4: { client: IpAddress.parse('198.51.100.1')!, server: IpAddress.parse('198.51.100.2')! },
  6: { client: IpAddress.parse('2001:db8:1::1')!, server: IpAddress.parse('2001:db8:1::2')! },
}
const FIRST_PORT = 9000

/** This package's stack, twice on one wire, under a virtual clock. */
export class StackWorld implements World {
  readonly name = 'stack'
  readonly quietMs = 3
  readonly patienceMs = 50
  readonly queue: QueueOf
  readonly #machine = new Machine()
  readonly #addresses: Addresses

  /** @param needs a queue: connections go over the NIC that has it */
  constructor(needs?: Need) {
    const device = needs === 'queue'
    if (device) this.#machine.queue(DEVICE_QUEUE)
    this.#addresses = device ? DEVICE_ADDRESSES : ADDRESSES
    this.queue = device
      ? { ifIdx: DEVICE_INDEX, ifRxq: DEVICE_QUEUE, flags: 0 }
      : { ifIdx: 0, ifRxq: 0, flags: ZCRX_REG_NODEV }
  }

  get host(): World['host'] {
    return this.#machine.kernel
  }

  sockaddr(side: Side, port: number, version: 4 | 6 = 4): Uint8Array {
    return sockaddrOf(this.#addresses[version][side], port)
  }

  port(number: number): number {
    return FIRST_PORT + number
  }

  /** Whose a socket is, is settled by what it is bound to. */
  asClient<T>(act: () => T): T {
    return act()
  }

  pass(us: number): void {
    this.#machine.pass(us)
  }

  release(): void {
    this.#machine.release()
  }
}
