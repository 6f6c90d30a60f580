import { describe, expect, it } from 'vitest'
import { nativeOrNull } from '../../../driver/native/index.ts'
import { applyQueueSetup, type QueueSetup, type SetupStep } from '../../../driver/setup/index.ts'
import { switchRefused } from '../../../driver/setup/switches.ts'
import { ArgumentError, NicError } from '../../../errors.ts'
import { FakeSwitches, type Interface } from './fake-switches.ts'

const native = nativeOrNull()
if (native === null) console.warn('setting up the loopback is skipped: the native addon is not built')

const none = new NicError('ZCRX_NIC_UNSUPPORTED', 'no such thing', '', 95)
const busy = new NicError('ZCRX_NIC_BUSY', 'not now', 'wait', 16)

function apply(of: Partial<Interface> = {}, queue = 3, ports = [9000]) {
  const switches = new FakeSwitches(of)
  const before = switches.state
  const told: SetupStep[] = []
  const start = (): QueueSetup =>
    applyQueueSetup({ device: 'eth0', queue, ports, switches, onStep: (step) => told.push(step) })
  return { switches, before, told, start }
}

const shown = (steps: readonly SetupStep[]): string[] =>
  steps.map(({ outcome, command, words }) => [outcome, command || words].join(': '))

describe('setting a queue up', () => {
  it('does one thing after the other, and undoes them in reverse', () => {
    const { switches, before, told, start } = apply()
    const setup = start()
    expect(shown(setup.steps)).toEqual([
      'done: ethtool -G eth0 tcp-data-split on',
      'done: ethtool -G eth0 hds-thresh 0',
      'done: ethtool -X eth0 equal 3',
      'done: ethtool -K eth0 ntuple on',
      'done: ethtool -N eth0 flow-type tcp4 dst-port 9000 action 3',
      'done: ethtool -N eth0 flow-type tcp6 dst-port 9000 action 3',
    ])
    expect(setup.undone).toBe(false)
    expect(shown(setup.undo())).toEqual([
      'undone: ethtool -N eth0 delete 1001',
      'undone: ethtool -N eth0 delete 1000',
      'undone: ethtool -K eth0 ntuple off',
      'undone: ethtool -X eth0 default',
      'undone: ethtool -G eth0 hds-thresh 256',
      'undone: ethtool -G eth0 tcp-data-split off',
    ])
    expect(switches.state).toBe(before)
    expect(setup.undone).toBe(true)
    expect(switches.closed).toBe(1)
    expect(setup.undo()).toEqual([])
    expect(told).toHaveLength(12)
  })

  it('asks for the split also where it is on, and leaves it on', () => {
    const { switches, start } = apply({ rings: { dataSplit: 'on', splitThreshold: null, bufferBytes: null } })
    const setup = start()
    expect(setup.steps[0]).toMatchObject({ outcome: 'there' })
    setup.undo()
    expect(switches.done.filter((line) => line.startsWith('split'))).toEqual(['split on'])
  })

  it('gives the driver its choice of the split back', () => {
    const rings = { dataSplit: 'none', splitThreshold: 0, bufferBytes: null } as const
    const { switches, start } = apply({ rings })
    expect(shown(start().undo()).at(-1)).toBe('undone: ethtool -G eth0 tcp-data-split auto')
    expect(switches.rings()).toEqual(rings)
  })

  it('leaves a table of one’s own as it was', () => {
    const { switches, before, start } = apply({ table: [3, 3, 1, 0, 3, 1, 0, 0] })
    const setup = start()
    expect(switches.indirection()).toEqual([0, 1, 0, 1, 0, 1, 0, 1])
    setup.undo()
    expect(switches.state).toBe(before)
  })

  it('says what the driver does not offer, and goes on', () => {
    const { switches, start } = apply({ rings: null, table: null, ntuple: 'fixed' })
    switches.refuse.set('rule', none)
    const setup = start()
    expect(setup.steps.map(({ what, outcome }) => [what, outcome])).toEqual([
      ['header/data split', 'not offered'],
      ['RSS', 'not offered'],
      ['ntuple', 'not offered'],
      ['rule', 'not offered'],
      ['rule', 'not offered'],
    ])
    expect(switches.done).toEqual([])
    expect(setup.undone).toBe(true)
    expect(setup.undo()).toEqual([])
    expect(switches.closed).toBe(1)
  })

  it('leaves RSS and rules alone where nothing is to be changed', () => {
    const { switches, start } = apply({ table: [0, 1, 2, 0] }, 3, [])
    const setup = start()
    expect(setup.steps[2]).toMatchObject({ what: 'RSS', outcome: 'there' })
    expect(switches.done).toEqual(['split on', 'threshold 0'])
  })
})

describe('when a step is refused', () => {
  it.each(['split on', 'threshold 0', 'table', 'ntuple on', 'rule tcp4', 'rule tcp6'])(
    'what was done is undone: %s',
    (what) => {
      const { switches, before, start } = apply()
      switches.refuse.set(what, busy)
      expect(start).toThrow(busy)
      expect(switches.state).toBe(before)
      expect(switches.closed).toBeGreaterThan(0)
    },
  )

  it.each([1, 2, 3, 4, 5, 6])('also when whoever is told of step %i throws', (step) => {
    const switches = new FakeSwitches()
    const before = switches.state
    let told = 0
    const onStep = (): void => {
      if (++told === step) throw new Error('the terminal is gone')
    }
    const start = (): QueueSetup =>
      applyQueueSetup({ device: 'eth0', queue: 3, ports: [9000], switches, onStep })
    expect(start).toThrow('the terminal is gone')
    expect([switches.state, told]).toEqual([before, 2 * step])
  })

  it('and the undoing too, the error says what is left', () => {
    const { switches, start } = apply()
    switches.refuse.set('rule tcp4', busy)
    switches.refuse.set('split off', busy)
    expect(start).toThrow(/and then: ethtool -G eth0 tcp-data-split off$/)
    expect(switches.indirection()).toEqual([0, 1, 2, 3, 0, 1, 2, 3])
  })

  it('while undoing, the rest is undone, and it is tried again', () => {
    const { switches, before, start } = apply()
    const setup = start()
    switches.refuse.set('split off', busy)
    switches.refuse.set('remove 1000', new NicError('ZCRX_NIC_SYSTEM', 'odd', '', 5))
    expect(setup.undo().filter(({ outcome }) => outcome === 'left')).toMatchObject([
      { command: 'ethtool -N eth0 delete 1000', words: 'odd' },
      { command: 'ethtool -G eth0 tcp-data-split off', words: 'not now' },
    ])
    expect([setup.undone, switches.closed]).toEqual([false, 0])
    switches.refuse.clear()
    expect(shown(setup.undo())).toEqual([
      'undone: ethtool -N eth0 delete 1000',
      'undone: ethtool -G eth0 tcp-data-split off',
    ])
    expect(setup.undone).toBe(true)
    // The filter stayed on as long as there was a rule.
    switches.setOffload('rx-ntuple-filter', false)
    expect(switches.state).toBe(before)
  })
})

describe('while somebody has the queue', () => {
  it('RSS stays off it: connections would break', () => {
    const { switches, start } = apply()
    const setup = start()
    switches.held = 'io_uring'
    const left = setup.undo().filter(({ outcome }) => outcome === 'left')
    expect(left).toMatchObject([
      { what: 'RSS', words: 'queue 3 is still had by io_uring: connections would break' },
    ])
    expect(switches.indirection()).not.toContain(3)
    switches.held = null
    expect(setup.undo()).toMatchObject([{ what: 'RSS', outcome: 'undone' }])
  })

  it('it is tried until the queue is free', async () => {
    const { switches, before, told, start } = apply()
    const setup = start()
    switches.held = 'io_uring'
    const undoing = setup.undoWithin(60_000)
    switches.held = null
    const steps = await undoing
    expect(steps).toHaveLength(6)
    expect(steps.at(-1)).toMatchObject({ what: 'RSS', outcome: 'undone' })
    expect(told.filter(({ outcome }) => outcome === 'left')).toEqual([])
    expect([setup.undone, switches.state]).toEqual([true, before])
  })

  it('or the time is up', async () => {
    const { switches, start } = apply()
    const setup = start()
    switches.held = 'dmabuf'
    expect((await setup.undoWithin(0)).filter(({ outcome }) => outcome === 'left')).toHaveLength(1)
    expect(setup.undone).toBe(false)
  })
})

describe('what others do meanwhile', () => {
  it('another queue that was taken off stays off', () => {
    const { switches, start } = apply()
    const setup = start()
    switches.setIndirection([0, 1, 0, 1, 0, 1, 0, 1])
    const step = setup.undo().find(({ what }) => what === 'RSS')!
    expect(step).toMatchObject({
      outcome: 'undone',
      command: 'ethtool -X eth0 weight 1 1 0 1',
      words: expect.stringContaining('others'),
    })
    expect(switches.indirection()).toEqual([0, 0, 1, 1, 1, 3, 3, 3])
  })

  it('rules of others keep the filter on', () => {
    const { switches, start } = apply()
    const setup = start()
    switches.insertRule({ flow: 'tcp4', port: 22, queue: 1 })
    expect(setup.undo().find(({ what }) => what === 'ntuple')?.words).toMatch(/1 rules of others/)
    expect(switches.done).not.toContain('ntuple off')
  })

  it('a rule that is gone, and an interface, are undone', () => {
    const { switches, start } = apply()
    const setup = start()
    switches.removeRule(1000)
    switches.refuse.set('split', new NicError('ZCRX_NIC_NO_DEVICE', 'gone'))
    expect(setup.undo().every(({ outcome }) => outcome === 'undone')).toBe(true)
  })
})

describe('what can’t be', () => {
  it('a queue that is not there', () => {
    const { switches, start } = apply({}, 4)
    expect(start).toThrow(ArgumentError)
    expect(switches.done).toEqual([])
    expect(switches.closed).toBeGreaterThan(0)
  })

  it('a port that is none', () => {
    expect(apply({}, 3, [70_000]).start).toThrow(ArgumentError)
  })

  it('the only queue that RSS sends to', () => {
    const { switches, before, start } = apply({ table: [3, 3, 3, 3] })
    expect(start).toThrow(/sends to queue 3 only/)
    expect(switches.state).toBe(before)
  })

  it('errors are typed, with the kernel’s words', () => {
    const code = (result: number): string => switchRefused(result, 'RSS', 'eth0', 'so it says').code
    expect([-95, -16, -17, -22, -28, -19, -1, -5].map(code)).toEqual([
      'ZCRX_NIC_UNSUPPORTED',
      'ZCRX_NIC_BUSY',
      'ZCRX_NIC_BUSY',
      'ZCRX_NIC_SYSTEM',
      'ZCRX_NIC_SYSTEM',
      'ZCRX_NIC_NO_DEVICE',
      'ZCRX_NIC_PERMISSION',
      'ZCRX_NIC_SYSTEM',
    ])
    expect(switchRefused(-22, 'RSS', 'eth0', 'so it says').message).toContain('EINVAL, so it says')
  })

  it.skipIf(native === null)('the loopback offers nothing', () => {
    const setup = applyQueueSetup({ device: 'lo', queue: 0, ports: [9000] })
    for (const { outcome } of setup.steps) expect(outcome).toBe('not offered')
    expect(setup.undo()).toEqual([])
  })

  it.skipIf(native === null)('an interface that is not there', () => {
    expect(() => applyQueueSetup({ device: 'nope0', queue: 0 })).toThrow(NicError)
  })
})
