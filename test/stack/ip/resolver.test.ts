import { describe, expect, it } from 'vitest'
import type { Neighbour } from '../../../stack/ip/neighbours.ts'
import { CLOSED, EHOSTUNREACH, ESTABLISHED, SYN_SENT } from '../../../stack/tcp/state.ts'
import { SYN } from '../../../stack/wire/tcp.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { CLIENT, SERVER } from '../../support/stack-pair.ts'

const SECOND = 1_000_000
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)

/** A stack at an address of the host's, whose kernel is played by the test. */
class Managed extends RawPeer {
  readonly asked: string[] = []
  /** What the kernel knows at once. */
  known: Uint8Array | null = null

  constructor() {
    super({ own: false })
    this.stack.link.resolver = {
      solicit: ({ address }: Neighbour) => {
        this.asked.push(address.toString())
        if (this.known === null) return
        const news = this.stack.link.neighbours.install(address, this.known)
        if (news !== null) this.stack.link.neighbours.announce(news, this.clock.now())
      },
    }
  }

  /** The kernel tells of the neighbour. */
  tell(mac: Uint8Array): void {
    const news = this.stack.link.neighbours.install(CLIENT, mac)
    if (news !== null) this.stack.link.onResolved(news, this.clock.now())
    this.stack.kick()
  }

  open4(): ReturnType<RawPeer['connect']> {
    return this.stack.tcp.connect(SERVER, 0, CLIENT, 9000, this.clock.now())!
  }
}

describe('neighbours of an address of the host’s', () => {
  it('are asked of its kernel, and waited for', () => {
    const peer = new Managed()
    const tcb = peer.open4()
    expect([peer.asked, peer.poll()]).toEqual([[CLIENT.toString()], []])
    peer.tell(MAC)
    expect(peer.poll().map(({ flags }) => flags)).toEqual([SYN])
    expect([tcb.state, tcb.remoteMacLow, peer.others.length]).toEqual([SYN_SENT, 1, 0])
  })

  it('that it knows are used at once, and those who wait already go on too', () => {
    const peer = new Managed()
    const waiting = peer.open4()
    // The timer of the first question asks again, and finds what the kernel has learned meanwhile.
    peer.known = MAC
    const seen = peer.pass(1.1 * SECOND)
    expect(seen.map(({ flags }) => flags)).toContain(SYN)
    expect(waiting.remoteMacLow).toBe(1)
    const second = peer.open4()
    expect(peer.poll().filter(({ flags }) => flags === SYN).length).toBe(1)
    expect(second.remoteMacLow).toBe(1)
  })

  it('end attempts when the kernel finds nobody, or says nothing', () => {
    const peer = new Managed()
    const failed = peer.open4()
    peer.stack.link.neighbours.withdraw(CLIENT, true, peer.clock.now())
    expect([failed.state, failed.error]).toEqual([CLOSED, EHOSTUNREACH])
    const silent = peer.open4()
    peer.pass(4 * SECOND)
    expect([silent.state, silent.error]).toEqual([CLOSED, EHOSTUNREACH])
  })

  it('are never probed from here, however old', () => {
    const peer = new Managed()
    peer.known = MAC
    peer.open4()
    peer.asked.length = 0
    peer.pass(0.1 * SECOND)
    for (let i = 0; i < 5; i++) {
      peer.pass(60 * SECOND)
      expect(peer.stack.link.resolve(SERVER, CLIENT, peer.clock.now())).not.toBeNull()
    }
    expect(peer.others).toEqual([])
  })

  it('that move take connections with them only if nothing comes back', () => {
    const peer = new Managed()
    const { tcb } = peer.open()
    peer.known = MAC
    peer.stack.link.ask(SERVER, CLIENT, peer.clock.now())
    peer.tell(MAC.with(5, 7))
    expect([tcb.state, tcb.remoteMacLow]).toEqual([ESTABLISHED, 1])
    peer.stack.tcp.send(tcb, new Uint8Array(100), 0, peer.clock.now())
    peer.pass(3 * SECOND)
    peer.tell(MAC.with(5, 8))
    expect(tcb.remoteMacLow).toBe(8)
  })

  it('that the kernel forgets are asked for again', () => {
    const peer = new Managed()
    peer.known = MAC
    peer.open4()
    peer.asked.length = 0
    peer.stack.link.neighbours.withdraw(CLIENT, false, peer.clock.now())
    expect(peer.stack.link.resolve(SERVER, CLIENT, peer.clock.now())?.macLow).toBe(1)
    expect(peer.asked).toEqual([CLIENT.toString()])
  })
})
