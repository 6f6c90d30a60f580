import { BroadcastChannel } from 'node:worker_threads'
import { IpAddress } from '../../../address.ts'
import type { AddressEvent } from '../../../stack/ip/link.ts'
import { SharedPorts } from '../../../stack/siblings/shared-ports.ts'
import type { Siblings } from '../../../stack/siblings/siblings.ts'
import type { Host } from '../host.ts'

/** What the workers of one interface share. */
export interface SiblingsData {
  /** Of the channel that they tell each other by. */
  readonly channel: string
  readonly ports: SharedArrayBuffer
}

/** From one worker to all others. */
type Told =
  | { readonly type: 'frame'; readonly frame: Uint8Array }
  | { readonly type: 'wake'; readonly index: number }
  /** The first tells what became of an address that it tests, or has from routers. */
  | { readonly type: 'address'; readonly address: string; readonly usable: boolean }
  /** Somebody is there now: the first is to say which addresses there are. */
  | { readonly type: 'hello' }

/** Joins a queue's stack to those of the interface's other queues. */
export class SiblingChannel implements Siblings {
  readonly ports: SharedPorts
  readonly #channel: BroadcastChannel
  readonly #host: Host
  readonly #index: number
  /** Called when the stack has something to do. */
  readonly #wake: () => void

  constructor({ channel, ports }: SiblingsData, index: number, host: Host, wake: () => void) {
    this.ports = new SharedPorts(ports, index)
    this.#channel = new BroadcastChannel(channel)
    this.#channel.unref()
    this.#index = index
    this.#host = host
    this.#wake = wake
    this.#channel.onmessage = (event) => this.#hear((event as { data: Told }).data)
    host.stack.siblings = this
    if (index > 0) this.#say({ type: 'hello' })
  }

  tell(frame: Uint8Array): void {
    this.#say({ type: 'frame', frame })
  }

  wake(index: number): void {
    this.#say({ type: 'wake', index })
  }

  /** The first has an address more, or less: it is everybody's. */
  address({ address, what }: AddressEvent): void {
    if (this.#index === 0 && what !== 'taken')
      this.#say({ type: 'address', address: address.toString(), usable: what === 'usable' })
  }

  close(): void {
    this.#host.stack.siblings = null
    this.#channel.close()
  }

  #say(told: Told): void {
    this.#channel.postMessage(told)
  }

  #hear(told: Told): void {
    const { stack, kernel } = this.#host
    if (told.type === 'frame') stack.hear(told.frame)
    else if (told.type === 'address') this.#host.siblingAddress(IpAddress.parse(told.address)!, told.usable)
    else if (told.type === 'hello') {
      if (this.#index > 0) return
      for (const { address, own } of stack.link.addresses)
        if (own) this.#say({ type: 'address', address: address.toString(), usable: true })
    } else if (told.index !== this.#index) return
    kernel.interrupt()
    this.#wake()
  }
}
