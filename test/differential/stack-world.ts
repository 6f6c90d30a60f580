import { IpAddress } from '../../address.ts'
import { sockaddrOf } from '../../uapi/abi/sockaddr.ts'
import { Machine } from '../conformance/machine.ts'
import type { Side, World } from './world.ts'

const ADDRESSES: Readonly<Record<4 | 6, Readonly<Record<Side, IpAddress>>>> = {
  4: { client: IpAddress.parse('192.0.2.1')!, server: IpAddress.parse('192.0.2.2')! },
  6: { client: IpAddress.parse('2001:db8::1')!, server: IpAddress.parse('2001:db8::2')! },
}
const FIRST_PORT = 9000

/** This package's stack, twice on one wire, under a virtual clock. */
export class StackWorld implements World {
  readonly name = 'stack'
  readonly quietMs = 3
  readonly patienceMs = 50
  readonly #machine = new Machine()

  get host(): World['host'] {
    return this.#machine.kernel
  }

  sockaddr(side: Side, port: number, version: 4 | 6 = 4): Uint8Array {
    return sockaddrOf(ADDRESSES[version][side], port)
  }

  port(number: number): number {
    return FIRST_PORT + number
  }

  pass(us: number): void {
    this.#machine.pass(us)
  }

  release(): void {
    this.#machine.release()
  }
}
