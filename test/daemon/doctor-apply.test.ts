import { describe, expect, it } from 'vitest'
import { type Applier, stepLine } from '../../daemon/doctor/apply.ts'
import { type DoctorRequest, doctorCommand } from '../../daemon/doctor/command.ts'
import { applyQueueSetup } from '../../driver/setup/index.ts'
import { NicError } from '../../errors.ts'
import { FakeSwitches } from '../driver/setup/fake-switches.ts'

const REQUEST: DoctorRequest = {
  device: 'linux:nope0/3',
  json: false,
  try: false,
  ports: [9000],
  apply: { device: 'nope0', queue: 3, ports: [9000] },
}

function fake(): { switches: FakeSwitches; apply: Applier } {
  const switches = new FakeSwitches()
  return { switches, apply: (request, onStep) => applyQueueSetup({ ...request, onStep, switches }) }
}

/** Runs the command, and interrupts it once it has set up. */
async function interrupted(request: DoctorRequest, apply: Applier) {
  const abort = new AbortController()
  const lines: string[] = []
  const print = (line: string): void => {
    lines.push(line)
    if (line === 'set up until it is interrupted' || line.startsWith('{"device"')) abort.abort()
  }
  return { status: await doctorCommand(request, abort.signal, print, apply), lines }
}

describe('zcrxd doctor --apply', () => {
  it('tells each step, reports, and puts all back when it is interrupted', async () => {
    const { switches, apply } = fake()
    const before = switches.state
    const { status, lines } = await interrupted(REQUEST, apply)
    expect(lines.slice(0, 6).map((line) => line.slice(0, 15).trim())).toEqual(Array(6).fill('done'))
    expect(lines[2]).toBe('  done         ethtool -X eth0 equal 3'.replace('eth0', 'nope0'))
    expect(lines).toContain('linux:nope0/3')
    expect(lines.slice(-6).map((line) => line.slice(0, 15).trim())).toEqual(Array(6).fill('undone'))
    expect(lines.at(-1)).toBe('  undone       ethtool -G nope0 tcp-data-split off')
    expect(switches.state).toBe(before)
    // There is no such interface: the daemon would not start there.
    expect(status).toBe(1)
    expect(process.listeners('exit').map(({ name }) => name)).not.toContain('undo')
  })

  it('gives a program the same as objects', async () => {
    const { apply } = fake()
    const { lines } = await interrupted({ ...REQUEST, json: true }, apply)
    const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(objects[0]).toEqual({
      step: {
        what: 'header/data split',
        command: 'ethtool -G nope0 tcp-data-split on',
        outcome: 'done',
        words: '',
      },
    })
    expect(objects[6]).toMatchObject({ device: 'linux:nope0/3', ok: false })
    expect(objects).toHaveLength(13)
  })

  it('undoes what was done when a step is refused, and says why', async () => {
    const { switches, apply } = fake()
    const before = switches.state
    switches.refuse.set('rule tcp4', new NicError('ZCRX_NIC_SYSTEM', 'no room', 'ethtool -n'))
    const lines: string[] = []
    const running = doctorCommand(REQUEST, new AbortController().signal, (line) => lines.push(line), apply)
    await expect(running).rejects.toThrow('no room: ethtool -n')
    expect(switches.state).toBe(before)
    expect(lines.filter((line) => line.includes('undone'))).toHaveLength(4)
  })
})

it('a step has its command, or what it is about', () => {
  const step = { what: 'RSS', command: '', outcome: 'not offered', words: 'no table' } as const
  expect(stepLine(step)).toBe('  not offered  RSS: no table')
  expect(stepLine({ ...step, command: 'ethtool -X' })).toBe('  not offered  ethtool -X (no table)')
})
