import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PacketNic } from '../../../driver/packet/index.ts'
import { XdpNic } from '../../../driver/xdp/index.ts'
import { examineDevice, openDevice, openDevices } from '../../../host/devices/index.ts'
import { obstacle } from '../../driver/xdp/setup.ts'
import { ip, VethPair } from '../../support/netns.ts'

describe.skipIf(obstacle !== '')('auto:', () => {
  let pair: VethPair
  beforeEach(() => {
    pair = new VethPair()
  })
  afterEach(() => pair.destroy())

  const auto = (rest = ''): string => `auto:${pair.device}${rest}?netns=${pair.ours}`

  it('takes AF_XDP, as the examination said, and leaves the queue free behind it', () => {
    for (let i = 0; i < 2; i++) {
      expect(examineDevice(auto()).chosen).toMatchObject({ driver: 'xdp', mode: 'generic copy' })
      const nic = openDevice(auto())
      expect([nic.info.driver, nic.info.mode]).toEqual(['xdp', 'generic copy'])
      expect(nic.notes).toEqual([])
      nic.close()
    }
    expect(pair.xdpProgram()).toBeUndefined()
  })

  it('takes a packet socket when the hook is taken, and says why', () => {
    using _holder = XdpNic.open({ device: pair.device, netns: pair.oursPath })
    const { chosen, findings } = examineDevice(auto())
    expect(chosen).toMatchObject({ driver: 'packet', device: `packet:zc0?netns=${pair.oursPath}` })
    expect(findings).toContainEqual(
      expect.objectContaining({ check: 'XDP hook', status: 'costs', fix: `kill ${process.pid}` }),
    )
    const [nic] = openDevices(auto())
    expect(nic).toBeInstanceOf(PacketNic)
    expect(nic!.notes).toEqual([
      expect.stringMatching(/^packet was taken, not xdp: the XDP hook of zc0 is taken/),
    ])
    nic!.close()
  })

  it('takes a packet socket when the queue is not there', () => {
    const nic = openDevice(auto('/5'))
    expect(nic.info.driver).toBe('packet')
    expect(nic.notes?.join()).toMatch(/not xdp: zc0 has one receive queue, number 0; not 5/)
    nic.close()
  })

  it('opens what the examination names', () => {
    for (const { open, device, driver } of examineDevice(auto()).ways) {
      if (!open || driver === 'raw') continue
      const nic = openDevice(device)
      expect(nic.info.driver).toBe(driver)
      nic.close()
    }
  })

  it('is refused at once by an interface that is down or missing', () => {
    ip('-n', pair.ours, 'link', 'set', pair.device, 'down')
    expect(() => openDevice(auto())).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_DOWN' }))
    expect(() => openDevice(`auto:nope0?netns=${pair.ours}`)).toThrow(
      expect.objectContaining({ code: 'ZCRX_NIC_NO_DEVICE' }),
    )
  })
})
