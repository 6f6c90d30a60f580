import { IpAddress } from '../../address.ts'
import { allocateArea, asNicMemory } from '../../driver/area.ts'
import { MemoryLink } from '../../driver/memory/index.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import { ESTABLISHED } from '../../stack/tcp/state.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import type { Host } from '../../uapi/backend/host.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'

const PORT = 9000

/**
 * A host on a memory link whose peer connects to port 9000 as soon as the program under test waits, sends `bytes` bytes and
 * closes. A receiver on the ring blocks its thread, so the peer works in the kernel's `idle`, on the same thread.
 */
export function memoryHost(bytes: number): { host: Host; sent: () => number } {
  const clock = new VirtualClock()
  const link = new MemoryLink({ seed: 1, mtu: 9000, now: () => clock.now() })
  const memoryFor = (): NicMemory => asNicMemory(allocateArea(2 << 20, 0))
  const make = (nic: typeof link.a, address: IpAddress, seed: number): Stack => {
    const stack = new Stack({ nic, memory: memoryFor(), clock, entropy: seededEntropy(seed) })
    stack.addAddress(address, true)
    return stack
  }
  const address = IpAddress.parse('192.0.2.1')!
  const peerAddress = IpAddress.parse('192.0.2.2')!
  const stack = make(link.b, address, 1)
  const peer = make(link.a, peerAddress, 2)
  const data = new Uint8Array(1 << 20)
  let tcb: Tcb | null = null
  let sent = 0

  const kernel = new InlineKernel({
    memoryFor,
    idle: (untilUs) => {
      tcb ??= peer.tcp.connect(peerAddress, 0, address, PORT, clock.now())
      if (tcb!.state === ESTABLISHED) {
        sent += peer.tcp.send(tcb!, data.subarray(0, bytes - sent), 0, clock.now())
        if (sent === bytes) peer.tcp.shutdownSend(tcb!, clock.now())
      }
      const next = Math.min(untilUs, link.nextArrival())
      clock.advanceTo(next)
      return next !== Number.POSITIVE_INFINITY
    },
  })
  kernel.addStack(stack)
  kernel.addStack(peer)
  const parts: Partial<Host> = {
    nic: link.b,
    stack,
    kernel,
    address,
    ringBackend: () => kernel.ringBackend(),
    close: () => link.b.close(),
  }
  const host = parts as Host
  return { host, sent: () => sent }
}
