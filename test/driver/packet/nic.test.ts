import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RX_CSUM_PARTIAL, RX_SIDE, RxBurst } from '../../../driver/nic.ts'
import type { PacketNic } from '../../../driver/packet/index.ts'
import { nextLine } from '../../support/lines.ts'
import { ip, VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { tables } from '../guard/tables.ts'
import { arp, ethernet, hex, ipv4, OURS, pattern, tcp } from '../xdp/frames.ts'
import { inject, obstacle, script } from '../xdp/setup.ts'
import { collectSide, openPacket, someMemory } from './setup.ts'

const OWN = Uint8Array.of(10, 77, 0, 99)
const PORT = 9000
const frameTo = (port: number, payload = pattern(40), destination = OURS): Uint8Array =>
  ethernet(0x0800, ipv4(tcp(port, payload), { destination }))

describe.skipIf(obstacle !== '')('a queue over AF_PACKET', () => {
  let pair: VethPair
  let nic: PacketNic
  beforeEach(() => {
    pair = new VethPair()
  })
  afterEach(() => {
    nic?.close()
    pair.destroy()
  })

  test('what it says of itself', () => {
    nic = openPacket(pair, { fanout: { group: 7 } })
    expect(nic.info).toMatchObject({
      driver: 'packet',
      mode: 'tpacket_v3 vnet_hdr copy fanout 7',
      name: pair.device,
      mtu: 1500,
      placement: 'side',
      partialChecksums: false,
    })
    expect(nic.sideMemory.length % 4).toBe(0)
  })

  test('frames to a steered port come, others do not, and none once it is not steered', () => {
    nic = openPacket(pair)
    const frames = [frameTo(PORT), frameTo(22), frameTo(PORT, pattern(1000)), ethernet(0x0806, arp(OURS))]
    inject(pair, frames)
    nic.steer(OURS, PORT)
    nic.steer(OURS, PORT)
    inject(pair, frames)
    const got = collectSide(nic, 2)
    expect(got.map(({ bytes }) => hex(bytes))).toEqual([frames[0]!, frames[2]!].map(hex))
    nic.unsteer(OURS, PORT)
    inject(pair, frames)
    expect(collectSide(nic, 2).length).toBe(2)
    nic.unsteer(OURS, PORT)
    inject(pair, frames)
    expect(nic.wait(20)).toBe(false)
    expect(nic.stats()).toMatchObject({ rxFrames: 4, rxInvalid: 0, rxRingFull: 0 })
  })

  test('everything to a claimed address comes, before and after a restart of the queue', () => {
    nic = openPacket(pair)
    nic.claim(OWN)
    const frames = [ethernet(0x0806, arp(OWN)), frameTo(22, pattern(40), OWN)]
    inject(pair, [...frames, frameTo(22)])
    expect(collectSide(nic, 2).map(({ bytes }) => hex(bytes))).toEqual(frames.map(hex))
    nic.detach()
    inject(pair, frames)
    nic.attach(someMemory())
    expect(nic.wait(20)).toBe(false)
    inject(pair, frames)
    expect(collectSide(nic, 2).length).toBe(2)
    nic.unclaim(OWN)
    inject(pair, frames)
    expect(nic.wait(20)).toBe(false)
  })

  test('a super-frame comes whole, its checksum to be finished', () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    const frame = frameTo(PORT, pattern(60_000))
    inject(pair, [frame], 1448)
    const [got] = collectSide(nic, 1)
    expect(got!.bytes.length).toBe(frame.length)
    // The kernel has put the pseudo-header's sum, which needs an address to be right about, where we left zeros.
    expect(hex(got!.bytes.subarray(54))).toBe(hex(frame.subarray(54)))
    expect(got!.flags).toBe(RX_SIDE | RX_CSUM_PARTIAL)
    inject(pair, [frameTo(PORT)])
    expect(collectSide(nic, 1)[0]!.flags).toBe(RX_SIDE)
  })

  test.each([[[0x8100]], [[0x88a8]], [[0x88a8, 0x8100]]])('tags %j are as on the wire', (tags) => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    const frame = ethernet(0x0800, ipv4(tcp(PORT, pattern(100))), tags)
    inject(pair, [frame])
    expect(collectSide(nic, 1).map(({ bytes }) => hex(bytes))).toEqual([hex(frame)])
  })

  test('frames go out, and do not come back', async () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    const peer = pair.start(pair.peer, PYTHON, '-c', LISTEN, pair.peerDevice)
    expect(await nextLine(peer.stdout!)).toBe('ready')
    // To ourselves, as the filter sees it: only its direction keeps it away.
    const frames = [frameTo(PORT, pattern(1400)), frameTo(PORT, pattern(7)), ethernet(0x88b5, pattern(60))]
    for (const frame of frames) {
      const at = nic.txReserve()
      nic.txMemory.set(frame, at)
      nic.txCommit(at, frame.length)
    }
    nic.txFlush()
    for (const frame of frames) expect(await nextLine(peer.stdout!)).toBe(hex(frame))
    expect(nic.wait(20)).toBe(false)
    expect(nic.stats()).toMatchObject({ txFrames: 3, rxFrames: 0, txErrors: 0 })
  })

  test('what the ring has no room for is counted', () => {
    nic = openPacket(pair, { ring: { blockBytes: 1 << 17, blocks: 2 } })
    nic.steer(OURS, PORT)
    const frames = Array.from({ length: 400 }, () => frameTo(PORT, pattern(1400)))
    inject(pair, frames)
    const got = collectSide(nic, 400).length
    const { rxFrames, rxRingFull } = nic.stats()
    expect(Math.min(got, rxRingFull)).toBeGreaterThan(0)
    expect([rxFrames, rxFrames + rxRingFull]).toEqual([got, 400])
    // The kernel's counter begins anew when it is read, ours does not.
    expect(nic.stats().rxRingFull).toBe(rxRingFull)
    inject(pair, frames.slice(0, 3))
    expect(collectSide(nic, 3).length).toBe(3)
  })

  test('an armed callback is called once', async () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    let calls = 0
    const woken = new Promise<void>((resolve) =>
      nic.arm(() => {
        calls++
        resolve()
      }),
    )
    inject(pair, [frameTo(PORT)])
    await woken
    expect(nic.receive(new RxBurst())).toBe(1)
    inject(pair, [frameTo(PORT)])
    expect([nic.wait(500), calls]).toEqual([true, 1])
  })

  test('a block that was read but not given back does not keep wait from waiting', () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    inject(pair, [frameTo(PORT)])
    expect(collectSide(nic, 1).length).toBe(1)
    const start = performance.now()
    expect(nic.wait(30)).toBe(false)
    expect(performance.now() - start).toBeGreaterThan(29)
  })

  test('a sender that has gone away with the interface', async () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    const woken = new Promise<void>((resolve) => nic.arm(resolve))
    ip('-n', pair.ours, 'link', 'del', pair.device)
    await woken
    expect(nic.gone).toBe(true)
    expect(nic.wait(10)).toBe(false)
    nic.steer(OURS, PORT + 1)
    nic.close()
    nic.close()
  })

  test('an interface that is down for a while is not gone', () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    ip('-n', pair.ours, 'link', 'set', pair.device, 'down')
    expect(nic.wait(10)).toBe(false)
    const at = nic.txReserve()
    nic.txCommit(at, 60)
    nic.txFlush()
    expect([nic.gone, nic.stats().txErrors]).toEqual([false, 1])
    ip('-n', pair.ours, 'link', 'set', pair.device, 'up')
    expect(nic.wait(0)).toBe(false)
    inject(pair, [frameTo(PORT)])
    expect(collectSide(nic, 1).length).toBe(1)
  })

  test('a member of a group tells that it can’t have the answers that come to others', () => {
    nic = openPacket(pair, { fanout: { group: 9 } })
    nic.claim(OWN)
    nic.steer(OWN, PORT, true)
    nic.steer(OURS, PORT)
    expect(nic.notes.join()).not.toContain('answers')
    nic.steer(OURS, PORT + 1, true)
    expect(nic.notes.join()).toMatch(/answers to connections from 10\.77\.0\.2, .* are lost/)
    using alone = openPacket(pair)
    alone.steer(OURS, PORT + 2, true)
    expect(alone.notes.join()).not.toContain('answers')
  })

  test('members of a group share the flows', () => {
    nic = openPacket(pair, { fanout: { group: 9 } })
    using second = openPacket(pair, { fanout: { group: 9 } })
    for (const member of [nic, second]) member.steer(OURS, PORT)
    const frames = Array.from({ length: 64 }, (_, i) => {
      const frame = frameTo(PORT)
      frame[34] = 100 + i
      return frame
    })
    inject(pair, frames)
    const shares = [collectSide(nic, 64), collectSide(second, 64)]
    expect(shares[0]!.length + shares[1]!.length).toBe(64)
    expect(Math.min(shares[0]!.length, shares[1]!.length)).toBeGreaterThan(0)
    expect(() => openPacket(pair, { fanout: { group: 9, mode: 'cpu' } })).toThrow(
      expect.objectContaining({ code: 'ZCRX_NIC_BUSY' }),
    )
  })

  test('forwarding is told of where an address is the stack’s alone', () => {
    pair.run(pair.ours, 'sh', '-c', `echo 1 > /proc/sys/net/ipv4/conf/${pair.device}/forwarding`)
    nic = openPacket(pair)
    expect(nic.notes).toEqual([])
    nic.claim(OWN)
    expect(nic.notes.join()).toMatch(/sysctl -w net.ipv4.conf.zc0.forwarding=0/)
  })

  test.each([
    [{ device: 'nothere' }, 'ZCRX_NIC_NO_DEVICE'],
    [{ netns: '/run/netns/nothere' }, 'ZCRX_NIC_NO_DEVICE'],
    [{ ring: { blockBytes: 65_536 } }, 'ZCRX_ARGUMENT'],
    [{ ring: { blocks: 1 } }, 'ZCRX_ARGUMENT'],
    [{ ring: { retireMs: 0 } }, 'ZCRX_ARGUMENT'],
    [{ fanout: { group: 70_000 } }, 'ZCRX_ARGUMENT'],
    [{ fanout: { group: 1, mode: 'best' as 'hash' } }, 'ZCRX_ARGUMENT'],
  ])('%j is refused', (options, code) => {
    expect(() => openPacket(pair, options)).toThrow(expect.objectContaining({ code }))
  })

  test('an interface that is down, or has no Ethernet, is refused', () => {
    ip('-n', pair.ours, 'link', 'set', pair.device, 'down')
    expect(() => openPacket(pair)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_DOWN' }))
  })

  test('a closed queue does nothing more', () => {
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
    nic.close()
    expect(nic.receive(new RxBurst())).toBe(0)
    expect(() => nic.steer(OURS, PORT)).toThrow(expect.objectContaining({ code: 'ZCRX_ARGUMENT' }))
    expect(() => nic.attach(someMemory())).toThrow(/closed/)
    nic.unsteer(OURS, PORT)
    nic.arm(() => {})
  })

  test('after kill -9 nothing is left', async () => {
    const module = script('../driver/packet/holder.ts')
    const holder = pair.start(pair.ours, process.execPath, script('child.mjs'), module, pair.device)
    expect(await nextLine(holder.stdout!)).toBe('ready')
    const sockets = (): string => pair.run(pair.ours, 'sh', '-c', 'cat /proc/net/packet; ss -Htlan')
    expect(sockets()).toMatch(new RegExp(`:${PORT}\\b`))
    expect(tables(pair)).toHaveLength(1)
    const exit = once(holder, 'exit')
    holder.kill('SIGKILL')
    await exit
    expect(sockets().trim().split('\n')).toHaveLength(1)
    expect(tables(pair)).toEqual([])
    nic = openPacket(pair)
    nic.steer(OURS, PORT)
  })
})

/** Prints "ready", then three frames that the interface has received from the others' end. */
const LISTEN = `
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
raw.bind((sys.argv[1], 3))
print("ready", flush=True)
frames = []
while len(frames) < 3:
    frame, address = raw.recvfrom(65536)
    if address[2] != 4 and frame[6:12] == bytes([2, 0, 0, 0, 0, 1]) or frame[12:14] == bytes([0x88, 0xb5]):
        frames.append(frame.hex())
print("\\n".join(frames), flush=True)
`
