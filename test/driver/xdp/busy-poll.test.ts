import { afterEach, describe, expect, test } from 'vitest'
import type { Native } from '../../../driver/native/index.ts'
import { RxBurst } from '../../../driver/nic.ts'
import { checkBusyPolling, preferBusyPolling } from '../../../driver/xdp/busy-poll.ts'
import { type BusyPolling, XdpNic } from '../../../driver/xdp/index.ts'
import { ArgumentError } from '../../../errors.ts'
import { VethPair } from '../../support/netns.ts'
import { ethernet, hex, ipv4, OURS, pattern, tcp } from './frames.ts'
import { chunkNumbers, collect, inject, memoryFor, obstacle } from './setup.ts'

const PORT = 9000
const EPERM = 1

/** What the kernel was asked for, and what came of it. */
function asked(status: number, said: BusyPolling | undefined) {
  const calls: number[][] = []
  const notes: string[] = []
  const native = {
    xskSetBusyPoll: (...all: number[]) => {
      calls.push(all)
      return status
    },
  } as unknown as Native
  return { on: preferBusyPolling(native, 7, said, (text) => notes.push(text)), calls, notes }
}

describe('preferred busy polling', () => {
  test('is asked for with the budget of NAPI, or another', () => {
    expect(asked(0, { us: 20 })).toEqual({ on: true, calls: [[7, 20, 64]], notes: [] })
    expect(asked(0, { us: 20, budget: 8 })).toEqual({ on: true, calls: [[7, 20, 8]], notes: [] })
    expect(asked(0, undefined)).toEqual({ on: false, calls: [], notes: [] })
  })

  test('is a note where the kernel refuses it', () => {
    const { on, notes } = asked(-EPERM, { us: 20 })
    expect(on).toBe(false)
    expect(notes).toEqual([expect.stringMatching(/^no busy polling of 20 us: .*\(EPERM\).*CAP_NET_ADMIN$/)])
  })

  test('has bounds', () => {
    checkBusyPolling(undefined)
    checkBusyPolling({ us: 1, budget: 65_535 })
    for (const us of [0, -1, 1.5, Number.NaN, 2 ** 31])
      expect(() => checkBusyPolling({ us })).toThrow(ArgumentError)
    for (const budget of [0, 65_536, 0.5])
      expect(() => checkBusyPolling({ us: 1, budget })).toThrow(ArgumentError)
    expect(() => XdpNic.open({ device: 'nowhere', preferBusyPoll: { us: 0 } })).toThrow(
      'busy polling of 0 us',
    )
  })
})

describe.skipIf(obstacle !== '')('preferred busy polling on a veth', () => {
  const open: Disposable[] = []
  afterEach(() => {
    for (const thing of open.splice(0).reverse()) thing[Symbol.dispose]()
  })

  for (const mode of ['native', 'generic'] as const)
    test(`takes frames in ${mode} mode, looking and waiting, and after a restart`, () => {
      const pair = new VethPair()
      open.push(pair)
      const nic = XdpNic.open({
        device: pair.device,
        netns: pair.oursPath,
        mode,
        preferBusyPoll: { us: 20, budget: 16 },
      })
      open.push(nic)
      const burst = new RxBurst()
      for (let start = 0; start < 2; start++) {
        const memory = memoryFor(nic)
        nic.attach(memory)
        nic.fill(chunkNumbers(512), 0, 512)
        if (start === 0) nic.steer(OURS, PORT)
        expect(nic.receive(burst)).toBe(0)
        const frames = Array.from({ length: 40 }, (_, i) =>
          ethernet(0x800, ipv4(tcp(PORT, pattern(100 + i)))),
        )
        inject(pair, frames)
        expect(collect(nic, memory, 40, burst).map(hex)).toEqual(frames.map(hex))
      }
      expect(nic.notes.filter((note) => note.includes('busy'))).toEqual([])
      nic.close()
      expect(nic.receive(burst)).toBe(0)
    })
})
