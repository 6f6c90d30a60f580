import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RX_SIDE, RxBurst } from '../../../driver/nic.ts'
import { RawNic, type RawNicOptions } from '../../../driver/raw/index.ts'
import { Endpoint } from '../../support/endpoint.ts'
import { type Cell, expectedOutcome, runCell } from '../../support/matrix.ts'
import { VethPair } from '../../support/netns.ts'
import { segmentTo } from '../guard/segments.ts'
import { collectSide, kernelCounter, someMemory } from '../packet/setup.ts'
import { hex, OURS, OURS6 } from '../xdp/frames.ts'
import { inject } from '../xdp/setup.ts'
import { obstacle } from './setup.ts'

const PORT = 9000
const ACK = 0x10

describe.skipIf(obstacle !== '')('raw sockets', () => {
  let pair: VethPair
  let nic: RawNic
  const open = (options: Partial<RawNicOptions> = {}): RawNic => {
    const address = [pair.ourAddress, pair.ourAddress6]
    nic = RawNic.open({ address, netns: pair.oursPath, ...options })
    nic.attach(someMemory())
    return nic
  }
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterEach(() => {
    nic?.close()
    pair.destroy()
  })

  /** Sends frames from the peer to the hardware address of our end. */
  function send(frames: Uint8Array[]): void {
    const mac = pair.run(pair.ours, 'cat', `/sys/class/net/${pair.device}/address`).trim()
    const ours = mac.split(':').map((byte) => Number.parseInt(byte, 16))
    inject(
      pair,
      frames.map((frame) => Uint8Array.of(...ours, ...frame.subarray(6))),
    )
  }

  test('what they say of themselves', () => {
    open()
    expect(nic.info).toMatchObject({
      driver: 'raw',
      name: pair.device,
      mtu: 1500,
      placement: 'side',
      routed: true,
      partialChecksums: true,
    })
    expect(nic.sideMemory.length % 4).toBe(0)
  })

  test.each([
    ['IPv4', OURS],
    ['IPv6', OURS6],
  ])(
    'segments to a steered port over %s come with the headers they had, or ones made up',
    (_version, address) => {
      open()
      nic.steer(address, PORT)
      const frames = [
        segmentTo(address, PORT, ACK),
        segmentTo(address, 22, ACK),
        segmentTo(address, PORT, 0x18),
      ]
      send(frames)
      const got = collectSide(nic, 2)
      // The kernel's fields that nobody sees any more: hardware addresses.
      expect(got.map(({ bytes }) => hex(bytes.subarray(12)))).toEqual(
        [frames[0]!, frames[2]!].map((frame) => hex(frame.subarray(12))),
      )
      expect(got.map(({ flags }) => flags)).toEqual([RX_SIDE, RX_SIDE])
      expect([...got[0]!.bytes.subarray(0, 6)]).toEqual([...nic.info.mac])
      nic.unsteer(address, PORT)
      send(frames)
      expect(nic.wait(20)).toBe(false)
      expect(nic.stats()).toMatchObject({ rxFrames: 2, rxRingFull: 0, rxDropped: 0 })
    },
  )

  const cells: [string, Cell][] = []
  for (const version of [4, 6] as const)
    for (const opens of ['Linux', 'we'] as const) {
      const closes = opens === 'we' ? 'Linux' : 'we'
      cells.push([
        `IPv${version}, ${opens} open`,
        { opens, closes, version, send: 2 << 20, receive: 8 << 20 },
      ])
    }

  test.each(cells)('connections with Linux: %s', async (_name, cell) => {
    const address = cell.version === 4 ? pair.ourAddress : pair.ourAddress6
    nic = RawNic.open({ address, netns: pair.oursPath })
    const endpoint = new Endpoint({ device: nic, address, ownAddress: false })
    const before = kernelCounter(pair, pair.ours, 'TcpOutRsts')
    try {
      expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
      expect(kernelCounter(pair, pair.ours, 'TcpOutRsts')).toBe(before)
      const { counters } = endpoint.host.stack
      expect([counters.arpRequestsSent, counters.neighbourSolicitsSent]).toEqual([0, 0])
      expect(nic.stats().txErrors).toBe(0)
    } finally {
      endpoint.close()
    }
  })

  test('what the kernel has no room for is counted', () => {
    open({ address: pair.ourAddress })
    nic.steer(OURS, PORT)
    const frames = Array.from({ length: 4000 }, () => segmentTo(OURS, PORT, ACK))
    let sent = 0
    // As much as it takes: the buffer is large, small packets take most room in it.
    while (nic.stats().rxRingFull === 0 && sent < 100_000) {
      send(frames)
      sent += frames.length
    }
    const got = collectSide(nic, sent).length
    expect(nic.stats().rxRingFull).toBeGreaterThan(0)
    expect(got + nic.stats().rxRingFull).toBe(sent)
  })

  test('an armed callback is called once', async () => {
    open()
    nic.steer(OURS, PORT)
    let calls = 0
    const woken = new Promise<void>((resolve) =>
      nic.arm(() => {
        calls++
        resolve()
      }),
    )
    send([segmentTo(OURS, PORT, ACK)])
    await woken
    expect([nic.receive(new RxBurst()), calls]).toEqual([1, 1])
    nic.arm(() => calls++)
    nic.arm(null)
    send([segmentTo(OURS, PORT, ACK)])
    expect([nic.wait(500), calls]).toEqual([true, 1])
  })

  test.each([
    [{ address: '10.77.0.3' }, 'ZCRX_NIC_NO_DEVICE'],
    [{ address: 'here' }, 'ZCRX_ARGUMENT'],
    [{ address: [] }, 'ZCRX_ARGUMENT'],
    [{ address: ['10.77.0.2', '10.77.0.2'] }, 'ZCRX_ARGUMENT'],
    [{ netns: '/run/netns/nothere' }, 'ZCRX_NIC_NO_DEVICE'],
  ])('%j is refused', (options, code) => {
    expect(() => open(options)).toThrow(expect.objectContaining({ code }))
  })

  test('an address of the stack’s own is refused, and one that it was not opened for', () => {
    open({ address: pair.ourAddress })
    expect(() => nic.claim(OURS)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_UNSUPPORTED' }))
    expect(() => nic.steer(OURS6, PORT)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_UNSUPPORTED' }))
    nic.close()
    nic.close()
    expect(() => nic.steer(OURS, PORT)).toThrow(/closed/)
    expect(nic.receive(new RxBurst())).toBe(0)
  })
})
