import { expect, it } from 'vitest'
import { DeviceError } from '../../../errors.ts'
import { examineDevice, isLinuxDevice, parseLinuxDevice } from '../../../host/devices/index.ts'

it('reads what names Linux’s own rings', () => {
  const driver = 'linux'
  expect(parseLinuxDevice('linux:')).toEqual({ driver, name: '', queue: 0, queues: 0 })
  expect(parseLinuxDevice('linux:eth0')).toEqual({ driver, name: 'eth0', queue: 0, queues: 0 })
  expect(parseLinuxDevice('linux:eth0/5')).toEqual({ driver, name: 'eth0', queue: 5, queues: 1 })
  expect(parseLinuxDevice('linux:eth0/0-3?netns=blue')).toEqual({
    driver,
    name: 'eth0',
    queue: 0,
    queues: 4,
    netns: '/run/netns/blue',
  })
  expect([isLinuxDevice('linux:'), isLinuxDevice('xdp:linux')]).toEqual([true, false])
})

it('shows where it is wrong', () => {
  for (const text of ['linux:eth0/x', 'linux:eth0/5-3', 'linux:eth0?mode=native', 'linux:a b'])
    expect(() => parseLinuxDevice(text), text).toThrow(DeviceError)
})

it('is examined on this machine, whatever it has', () => {
  const lo = examineDevice('linux:lo')
  expect(lo).toMatchObject({ device: 'linux:lo', ok: false, ways: [{ device: 'linux:lo/0', open: false }] })
  const none = examineDevice('linux:nope0/3', { ports: [9000] })
  expect(none.ok).toBe(false)
  expect(examineDevice('linux:').ways).toMatchObject([{ device: 'linux:' }])
  expect(() => examineDevice('linux:eth0/x')).toThrow(DeviceError)
})
