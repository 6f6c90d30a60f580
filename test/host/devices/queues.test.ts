import { availableParallelism } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArgumentError, DeviceError, NicError } from '../../../errors.ts'
import {
  examineDevice,
  openDevices,
  openQueue,
  planQueues,
  type QueueRequest,
} from '../../../host/devices/index.ts'
import { obstacle as noTap } from '../../driver/tap/setup.ts'
import { obstacle } from '../../driver/xdp/setup.ts'
import { ip, VethPair } from '../../support/netns.ts'
import { TapPlace } from '../../support/tap-place.ts'

const CORES = Math.min(availableParallelism(), 8)
const devices = (requests: readonly QueueRequest[]): string[] => requests.map(({ device }) => device)

describe('queues of devices that have one', () => {
  it.each(['raw:192.0.2.1', 'pcap:/tmp/a/b.pcap', 'memory:a/b'])('%s', (text) => {
    const one = [{ device: text, index: 0, count: 1 }]
    expect(planQueues(text, 1)).toEqual(one)
    expect(planQueues(text, 'queues')).toEqual(one)
    expect(() => planQueues(text, 2)).toThrow(ArgumentError)
    expect(() => planQueues(text, 2)).toThrow(/has one queue, not 2: .+/)
  })

  it('are opened as ever', () => {
    const [request] = planQueues('memory:queues', 'queues')
    const { nic, share } = openQueue(request!, null)
    expect([nic.info.driver, share]).toEqual(['memory', null])
    nic.close()
  })
})

it('workers are a number from 1 on', () => {
  for (const wrong of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => planQueues('memory:', wrong)).toThrow(ArgumentError)
  expect(() => planQueues('nothing', 1)).toThrow(DeviceError)
})

it('a string that names queues has those, before anything is looked at', () => {
  expect(() => planQueues('xdp:nope0/0-3', 2)).toThrow(/names 4 queues, which as many workers take, not 2/)
  expect(() => planQueues('xdp:nope0/2', 2)).toThrow(/names one queue/)
  expect(() => planQueues('auto:nope0/0?netns=/run/netns/x', 2)).toThrow(/names one queue/)
  for (const workers of [1, 'queues'] as const)
    expect(planQueues('xdp:nope0/2', workers)).toEqual([{ device: 'xdp:nope0/2', index: 0, count: 1 }])
})

describe.skipIf(obstacle !== '')('queues of an interface', () => {
  let two: VethPair
  let one: VethPair
  beforeAll(() => {
    two = new VethPair({ queues: 2 })
    one = new VethPair()
  })
  afterAll(() => {
    two?.destroy()
    one?.destroy()
  })

  it('over AF_XDP are the interface’s, from 0 on', () => {
    const settings = `?copy=copy&netns=${two.ours}`
    const both = [
      { device: `xdp:zc0/0${settings}`, index: 0, count: 2 },
      { device: `xdp:zc0/1${settings}`, index: 1, count: 2 },
    ]
    for (const workers of [2, 'queues'] as const) {
      expect(planQueues(`xdp:zc0${settings}`, workers)).toEqual(both)
      expect(planQueues(`xdp:zc0/0-1${settings}`, workers)).toEqual(both)
    }
    expect(structuredClone(both)).toEqual(both)
    const alone = `xdp:zc0?netns=${one.ours}`
    expect(planQueues(alone, 'queues')).toEqual([{ device: alone, index: 0, count: 1 }])
  })

  it('over AF_XDP are no more than there are', () => {
    expect(() => planQueues(`xdp:zc0?netns=${two.ours}`, 4)).toThrow(
      expect.objectContaining({
        name: 'ArgumentError',
        message: expect.stringContaining('zc0 has 2 receive queues, and there would be 4'),
        remedy: expect.stringMatching(/^ethtool -L zc0 combined 4/),
      }),
    )
    expect(() => planQueues(`xdp:zc0/1-2?netns=${two.ours}`, 'queues')).toThrow(/has 2 receive queues/)
    expect(() => planQueues(`xdp:nope0?netns=${two.ours}`, 2)).toThrow(NicError)
    expect(() => planQueues('xdp:nope0?netns=/run/netns/zcrx-no-such', 2)).toThrow(NicError)
  })

  it('over packet sockets are members of one group', () => {
    const planned = planQueues(`packet:zc0?netns=${one.ours}`, 3)
    const [group] = /fanout=\d+$/.exec(planned[0]!.device)!
    expect(devices(planned)).toEqual(Array(3).fill(`packet:zc0?netns=${one.ours}&${group}`))
    expect(planned.map(({ index, count }) => [index, count])).toEqual([
      [0, 3],
      [1, 3],
      [2, 3],
    ])
    expect(planQueues(`packet:zc0?netns=${one.ours}`, 'queues')).toHaveLength(CORES)
    const given = `packet:zc0?fanout=7&netns=${one.ours}`
    expect(devices(planQueues(given, 2))).toEqual([given, given])
    expect(() => planQueues(given, 257)).toThrow(/take 256 or fewer/)
  })

  it('of auto are those of what it would choose', () => {
    expect(examineDevice(`auto:zc0?netns=${two.ours}`).chosen?.driver).toBe('xdp')
    const netns = `netns=${two.oursPath}`
    expect(devices(planQueues(`auto:zc0?${netns}`, 'queues'))).toEqual([
      `xdp:zc0/0?${netns}`,
      `xdp:zc0/1?${netns}`,
    ])
    expect(devices(planQueues(`auto:zc0/1?${netns}`, 'queues'))).toEqual([`auto:zc0/1?${netns}`])
    const alone = `auto:zc0?netns=${one.ours}`
    expect(devices(planQueues(alone, 1))).toEqual([alone])
    const { nic } = openQueue(planQueues(`xdp:zc0?${netns}`, 1)[0]!, null)
    // The hook is taken: a packet socket is next.
    const planned = devices(planQueues(`auto:zc0?${netns}`, 2))
    nic.close()
    expect(planned).toEqual(Array(2).fill(expect.stringMatching(/^packet:zc0\?netns=.*&fanout=\d+$/)))
  })

  it('of auto are none where no way works', () => {
    expect(() => planQueues(`auto:nope0?netns=${one.ours}`, 2)).toThrow(
      expect.objectContaining({ name: 'NicError', remedy: `zcrxd doctor auto:nope0?netns=${one.ours}` }),
    )
  })

  it('of a veth take native XDP, and say why; generic is as it was asked for, with what that means', () => {
    const open = (mode: string): { modes: string[]; notes: string[] } => {
      const [first, second] = planQueues(`xdp:zc0?mode=${mode}&netns=${two.ours}`, 2)
      const { nic, share } = openQueue(first!, null)
      const other = openQueue(second!, structuredClone(share))
      const modes = [nic, other.nic].map(({ info }) => info.mode)
      const notes = [...nic.notes!, ...other.nic.notes!]
      nic.close()
      other.nic.close()
      return { modes, notes }
    }
    expect(open('auto')).toEqual({
      modes: ['native', 'native'],
      notes: [expect.stringMatching(/^native XDP on the veth zc0/)],
    })
    expect(open('native')).toEqual({ modes: ['native', 'native'], notes: [] })
    expect(open('generic')).toEqual({
      modes: ['generic copy', 'generic copy'],
      notes: [expect.stringMatching(/at queue 0: the others get none$/)],
    })
    expect(two.xdpProgram()).toBeUndefined()
    const nics = openDevices(`xdp:zc0/0-1?netns=${two.ours}`)
    expect(nics.map(({ info }) => info.mode)).toEqual(['native', 'native'])
    for (const nic of nics) nic.close()
    // Which is what an examination expects.
    expect(examineDevice(`xdp:zc0/0-1?netns=${two.ours}`).chosen?.mode).toBe('native copy')
  })

  it('leave nothing behind when one can’t be opened', () => {
    const [first, second] = planQueues(`xdp:zc0?netns=${two.ours}`, 2)
    expect(() => openQueue(second!, null)).toThrow(/takes part in what the first has brought/)
    const { nic, share } = openQueue(first!, null)
    expect(() => openQueue(first!, share)).toThrow(ArgumentError)
    ip('-n', two.ours, 'link', 'set', 'zc0', 'down')
    expect(() => openQueue(second!, share)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_DOWN' }))
    ip('-n', two.ours, 'link', 'set', 'zc0', 'up')
    expect(() => openQueue(second!, { ...share!, sockets: 1_000_000 })).toThrow(NicError)
    nic.close()
    expect(two.xdpProgram()).toBeUndefined()
  })
})

describe.skipIf(noTap !== '')('queues of a TAP device', () => {
  let place: TapPlace
  beforeAll(() => {
    place = new TapPlace()
  })
  afterAll(() => place?.destroy())

  it('are as many as are opened', () => {
    const text = `tap:zt0?netns=${place.peer}`
    expect(devices(planQueues(text, 3))).toEqual(Array(3).fill(`${text}&queues=many`))
    expect(planQueues(text, 'queues')).toHaveLength(CORES)
    expect(devices(planQueues(`${text}&queues=many`, 2))).toEqual(Array(2).fill(`${text}&queues=many`))
    expect(() => planQueues(`${text}&queues=one`, 2)).toThrow(/has one queue, 2 are wanted/)
    expect(planQueues(`${text}&queues=one`, 'queues')).toHaveLength(1)
    expect(() => planQueues(text, 300)).toThrow(ArgumentError)
    expect(place.exists).toBe(false)
  })

  it('are one, where the device was made with one', () => {
    ip('-n', place.peer, 'tuntap', 'add', 'dev', 'zt0', 'mode', 'tap', 'vnet_hdr')
    const text = `tap:zt0?netns=${place.peer}`
    expect(devices(planQueues(text, 'queues'))).toEqual([text])
    expect(() => planQueues(text, 2)).toThrow(/was made with one queue/)
    ip('-n', place.peer, 'link', 'delete', 'zt0')
    ip('-n', place.peer, 'tuntap', 'add', 'dev', 'zt0', 'mode', 'tap', 'vnet_hdr', 'multi_queue')
    expect(planQueues(text, 2)).toHaveLength(2)
    ip('-n', place.peer, 'link', 'delete', 'zt0')
  })

  it('share the device, which goes with the last', () => {
    const [first, second] = planQueues(`tap:zt0?netns=${place.peer}`, 2)
    const one = openQueue(first!, null)
    const other = openQueue(second!, one.share)
    expect([one.share, other.share]).toEqual([null, null])
    expect(other.nic.info.mac).toEqual(one.nic.info.mac)
    one.nic.close()
    expect(place.exists).toBe(true)
    other.nic.close()
    expect(place.exists).toBe(false)
  })
})
