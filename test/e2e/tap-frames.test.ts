import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TapNic } from '../../driver/tap/index.ts'
import { obstacle } from '../driver/tap/setup.ts'
import { Endpoint } from '../support/endpoint.ts'
import { type Cell, expectedOutcome, runCell } from '../support/matrix.ts'
import { ip } from '../support/netns.ts'
import { faults, tshark, WireCapture } from '../support/tshark.ts'
import { XdpWay } from '../support/ways.ts'

const MB = 1 << 20

/**
 * A TAP device on a bridge with our end of a veth pair: what the kernel makes of our large frames goes over the wire to the
 * peer, cut and with whole checksums, since the veth is told to do without offloads.
 */
class BridgedTap extends XdpWay {
  constructor() {
    super({ ipv6: true })
    ip('-n', this.ours, 'address', 'flush', 'dev', this.device)
    ip('-n', this.ours, 'link', 'add', 'br0', 'type', 'bridge')
    ip('-n', this.ours, 'link', 'set', this.device, 'master', 'br0')
    ip('-n', this.ours, 'link', 'set', 'br0', 'up')
    this.run(this.ours, 'ethtool', '-K', this.device, 'tx', 'off', 'tso', 'off', 'gso', 'off')
  }

  override open(): TapNic {
    const nic = TapNic.open({ device: 'zt0', netns: this.oursPath })
    ip('-n', this.ours, 'link', 'set', 'zt0', 'master', 'br0')
    return nic
  }
}

describe.skipIf(obstacle !== '')('large frames of ours, cut by the kernel', () => {
  let way: BridgedTap
  beforeAll(() => {
    way = new BridgedTap()
  })
  afterAll(() => way?.destroy())

  it.each([
    [4, '10.77.0.99'],
    [6, 'fd00:77::99'],
    // In the place where IPv4 would have its version.
    [6, 'fd00:77::4545:4545'],
  ] as const)(
    'make segments that tshark finds no fault with, IPv%i from %s',
    async (version, address) => {
      const endpoint = new Endpoint({ device: way.open(), address, ownAddress: true })
      const { nic } = endpoint.host
      const capture = await WireCapture.start(way, Buffer.from(nic.info.mac).toString('hex'))
      try {
        const cell: Cell = { opens: 'we', closes: 'we', version, send: 8 * MB, receive: MB }
        expect(await runCell(way, endpoint, cell)).toEqual(expectedOutcome(cell))
        const segments = await capture.stop()
        expect(segments).toBeGreaterThan((8 * MB) / 1448)
        // Far fewer frames left us than came to the wire.
        expect(nic.stats().txFrames).toBeLessThan(segments / 3)
        expect(faults(capture.file)).toEqual([])
        const lengths = tshark(capture.file, '-T', 'fields', '-e', 'frame.len').map(Number)
        expect(Math.max(...lengths)).toBe(1514)
      } finally {
        endpoint.close()
        capture.remove()
      }
    },
    60_000,
  )
})
