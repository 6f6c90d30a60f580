/** `zcrxd doctor` as people run it, in broken situations made on purpose. `npm test` builds it first. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../daemon/doctor/print.ts'
import { BIN, obstacle } from '../support/daemon.ts'
import { nextLine } from '../support/lines.ts'
import { ip, VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const CHILD = fileURLToPath(new URL('../support/child.mjs', import.meta.url))
const HOLDER = fileURLToPath(new URL('../driver/xdp/holder.ts', import.meta.url))
if (obstacle !== '') console.warn(`tests of zcrxd doctor are skipped: ${obstacle}`)

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function zcrxd(args: readonly string[], prefix: readonly string[] = []): Outcome {
  const [command, ...rest] = [...prefix, process.execPath, BIN, ...args]
  return spawnSync(command!, rest, { encoding: 'utf8', timeout: 30_000 })
}

/** Drops everything but these capabilities, and the user with them. */
function onlyCapabilities(...names: string[]): string[] {
  const set = ['-all', ...names.map((name) => `+${name}`)].join(',')
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups']
  return ['setpriv', ...user, `--inh-caps=${set}`, `--ambient-caps=${set}`, `--bounding-set=${set}`]
}

describe.skipIf(obstacle !== '')('zcrxd doctor', () => {
  let pair: VethPair
  let holder: ChildProcess | undefined
  beforeAll(() => {
    pair = new VethPair()
  })
  afterEach(async () => {
    if (holder === undefined) return
    const gone = once(holder, 'exit')
    holder.kill('SIGKILL')
    await gone
    holder = undefined
  })
  afterAll(() => pair?.destroy())

  /** In our namespace, as JSON. The exit status is checked against it. */
  function doctor(args: readonly string[], prefix: readonly string[] = []): DoctorReport {
    const inside = ['ip', 'netns', 'exec', pair.ours, ...prefix]
    const { status, stdout, stderr } = zcrxd(['doctor', '--json', ...args], inside)
    expect(stdout, stderr).toMatch(/^\{.*\}\n$/)
    const report = JSON.parse(stdout) as DoctorReport
    expect(status).toBe(report.ok ? 0 : 1)
    return report
  }

  const blocking = ({ findings }: DoctorReport) => findings.filter(({ status }) => status === 'blocks')
  const costing = ({ findings }: DoctorReport) => findings.filter(({ status }) => status === 'costs')

  /** A process that has the XDP hook of our interface. */
  async function hold(): Promise<number> {
    holder = spawn(process.execPath, [CHILD, HOLDER, pair.oursPath, pair.device], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    expect(await nextLine(holder.stdout!)).toBe('ready')
    return holder.pid!
  }

  it('has nothing against a veth', () => {
    const report = doctor([pair.device])
    expect(report).toMatchObject({
      device: 'auto:zc0',
      ok: true,
      chosen: { driver: 'xdp', mode: 'generic copy', device: 'xdp:zc0/0?mode=generic', open: true },
    })
    expect(blocking(report)).toEqual([])
    expect(report.ways.map(({ driver, open }) => [driver, open])).toEqual([
      ['xdp', false],
      ['xdp', false],
      ['xdp', true],
      ['packet', true],
      expect.arrayContaining(['raw']),
    ])
    const hook = report.findings.find(({ check }) => check === 'XDP hook')
    expect(hook).toEqual({ check: 'XDP hook', status: 'ok', found: 'free' })
    expect(report.findings.map(({ check }) => check)).toContain('cores')
    const workers = report.findings.find(({ check }) => check === 'workers')
    expect(workers?.found).toBe("'queues' takes the one receive queue there is")
  })

  it('is told native XDP by the driver', () => {
    expect(doctor(['xdp:zc0?mode=native'])).toMatchObject({ ok: true, chosen: { mode: 'native copy' } })
    expect(doctor(['xdp:zc0?mode=zerocopy'])).toMatchObject({ ok: true, chosen: { mode: 'native copy' } })
  })

  it('without any capability', () => {
    const report = doctor(['zc0'], onlyCapabilities())
    expect(report.chosen).toBeNull()
    expect(blocking(report)[0]).toMatchObject({
      check: 'capabilities',
      found: 'CAP_NET_RAW is missing',
      fix: expect.stringMatching(/^sudo setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock=ep \//),
    })
  })

  it('with CAP_NET_RAW alone there are packet sockets', () => {
    const report = doctor(['zc0'], onlyCapabilities('net_raw'))
    expect(report.chosen).toMatchObject({ driver: 'packet', device: 'packet:zc0' })
    expect(costing(report).map(({ found }) => found)).toContain('CAP_BPF is missing')
    expect(doctor(['xdp:zc0'], onlyCapabilities('net_raw')).ok).toBe(false)
  })

  it('with a tiny limit of locked memory', () => {
    const locked = (soft: number, hard: number): string[] => [
      ...['prlimit', `--memlock=${soft}:${hard}`],
      ...onlyCapabilities('net_raw', 'net_admin', 'bpf'),
    ]
    const tiny = locked(64 << 10, 8 << 20)
    expect(blocking(doctor(['xdp:zc0', '--area', '4M'], tiny))).toEqual([
      expect.objectContaining({
        check: 'locked memory',
        found: 'limit of 64 KiB, 5120 KiB needed',
        fix: 'ulimit -l 5120',
      }),
    ])
    // Above the hard limit the shell's own command would be refused.
    expect(blocking(doctor(['xdp:zc0'], tiny))[0]).toMatchObject({
      fix: 'sudo prlimit --pid $$ --memlock=68157440:68157440',
    })
    expect(doctor(['zc0'], tiny).chosen).toMatchObject({ driver: 'packet' })
    expect(doctor(['xdp:zc0', '--area', '4M'], locked(5 << 20, 8 << 20)).ok).toBe(true)
  })

  it('with a queue that is not there', () => {
    const report = doctor(['xdp:zc0/7'])
    expect(blocking(report)).toMatchObject([{ check: 'queues', found: 'one receive queue, number 0; not 7' }])
    expect(blocking(report)[0]!.fix).toMatch(/^(ethtool -L zc0 rx 8|zcrxd run --device xdp:zc0\/0)$/)
    expect(doctor(['auto:zc0/7']).chosen).toMatchObject({ driver: 'packet' })
  })

  it('with a program that another process holds', async () => {
    const pid = await hold()
    const report = doctor(['xdp:zc0'])
    expect(blocking(report)).toEqual([
      expect.objectContaining({
        check: 'XDP hook',
        found: expect.stringMatching(
          new RegExp(`^taken by program \\d+ 'zcrx' in generic mode, held by pid ${pid} \\(`),
        ),
        fix: `kill ${pid}`,
      }),
    ])
    expect(doctor(['zc0'])).toMatchObject({ ok: true, chosen: { driver: 'packet' } })
  })

  it('with a program that nobody holds, whose removal helps', () => {
    const foreign = fileURLToPath(new URL('../support/foreign.py', import.meta.url))
    pair.run(pair.ours, PYTHON, foreign, pair.device)
    const [{ fix } = { fix: '' }] = blocking(doctor(['xdp:zc0']))
    expect(fix).toBe('ip link set dev zc0 xdpgeneric off')
    pair.run(pair.ours, 'sh', '-c', fix!)
    expect(doctor(['xdp:zc0']).ok).toBe(true)
  })

  it('with an interface that is missing, or whose namespace is', () => {
    for (const device of ['nope0', 'xdp:nope0', 'packet:nope0', 'raw:192.0.2.77', 'zc0?netns=nope'])
      expect(blocking(doctor([device])).length, device).toBeGreaterThan(0)
    expect(blocking(doctor(['nope0']))).toMatchObject([
      { check: 'interface', found: 'nope0: there is no such interface', fix: 'ip link' },
    ])
  })

  it('with an interface that is down, whose fix helps', () => {
    ip('-n', pair.ours, 'link', 'set', pair.device, 'down')
    const [{ fix } = { fix: '' }] = blocking(doctor(['packet:zc0']))
    expect(fix).toBe('ip link set dev zc0 up')
    pair.run(pair.ours, 'sh', '-c', fix!)
    expect(doctor(['packet:zc0']).ok).toBe(true)
  })

  it('sees another namespace than its own', () => {
    const { status, stdout } = zcrxd(['doctor', '--json', `xdp:zc0?netns=${pair.ours}`])
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      chosen: { device: `xdp:zc0/0?mode=generic&netns=${pair.oursPath}` },
    })
  })

  it('judges the machine and every interface', () => {
    const report = doctor([])
    expect(report).toMatchObject({ device: null, ok: true, chosen: null, ways: [] })
    expect(report.interfaces).toContainEqual({
      name: 'zc0',
      chosen: expect.objectContaining({ device: 'xdp:zc0/0?mode=generic' }),
    })
    expect(doctor([], onlyCapabilities()).ok).toBe(false)
  })

  it('prints text for people, and shows where a device string is wrong', () => {
    const { status, stdout } = zcrxd(['doctor', 'zc0'], ['ip', 'netns', 'exec', pair.ours])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^auto:zc0\n\n {2}ok {6}kernel +Linux \d/)
    expect(stdout).toMatch(/\n {2}-> xdp:zc0\/0\?mode=generic \(generic copy\)\n/)
    expect(stdout).toMatch(/\nzcrxd would start: xdp:zc0\/0\?mode=generic \(generic copy\)\n$/)
    const wrong = zcrxd(['doctor', 'xdp:zc0/x'])
    expect([wrong.status, wrong.stdout]).toEqual([2, ''])
    expect(wrong.stderr).toMatch(/\n {2}xdp:zc0\/x\n {10}\^\n {2}what to do: write xdp:/)
  })

  describe('the daemon', () => {
    it('refuses what the doctor says it will, with the reason of each way', () => {
      const inside = ['ip', 'netns', 'exec', pair.ours, ...onlyCapabilities()]
      const { status, stderr } = zcrxd(['run', '--device', 'auto:zc0', '--listen', ':0'], inside)
      expect(status).toBe(1)
      expect(stderr).toMatch(
        /no way into zc0 works\n {2}xdp: .*(?:have to be locked|CAP_BPF).*\n {2}packet: .*not permitted.*\n {2}raw: /,
      )
      expect(stderr).toMatch(/what to do: zcrxd doctor auto:zc0/)
    })

    it('starts with exactly as much locked memory as the doctor wants', async () => {
      const limit = [
        'prlimit',
        '--memlock=5242880:8388608',
        ...onlyCapabilities('net_raw', 'net_admin', 'bpf'),
      ]
      const run = [process.execPath, BIN, 'run', '-d', 'auto:zc0', '-l', ':0', '--area', '4M']
      const daemon = spawn('ip', ['netns', 'exec', pair.ours, ...limit, ...run], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      const ended = once(daemon, 'exit')
      let log = ''
      for await (const part of daemon.stderr) {
        log += part
        if (!daemon.killed && log.includes('"listening"')) daemon.kill('SIGTERM')
      }
      expect((await ended)[0], log).toBe(0)
      expect(log).toMatch(/"driver":"xdp","mode":"generic copy".*"listening"/)
    })

    it('starts on what the doctor says it will, and logs why nothing better', async () => {
      await hold()
      const args = [
        'netns',
        'exec',
        pair.ours,
        process.execPath,
        BIN,
        'run',
        '-d',
        'auto:zc0',
        '-l',
        ':0',
        '--json',
      ]
      const daemon = spawn('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] })
      const ended = once(daemon, 'exit')
      let log = ''
      for await (const part of daemon.stderr) {
        log += part
        // A second signal would end it at once.
        if (!daemon.killed && /packet was taken, not xdp: /.test(log)) daemon.kill('SIGTERM')
      }
      expect((await ended)[0], log).toBe(0)
      expect(log).toMatch(/"driver":"packet".*"listening"/)
      expect(log).toMatch(/packet was taken, not xdp: the XDP hook of zc0 is taken by program/)
    })
  })

  describe('--try', () => {
    const scratch = (pid: number): string[] =>
      readdirSync('/run/netns').filter((name) => name.startsWith(`zcrx-${pid}-`))

    it('sends and receives over every way, and leaves nothing', () => {
      const { status, stdout, stderr } = zcrxd(['doctor', '--json', '--try', 'memory:'])
      expect(status, stderr).toBe(0)
      const { tried = [] } = JSON.parse(stdout) as DoctorReport
      expect(tried.map(({ driver, ok, bytes, error }) => [driver, ok, bytes, error])).toEqual([
        ['xdp', true, 65536, undefined],
        ['xdp', true, 65536, undefined],
        ['packet', true, 65536, undefined],
        ['raw', expect.any(Boolean), expect.any(Number), tried[3]!.error],
        ['tap', true, 65536, undefined],
      ])
      expect(tried.map(({ mode }) => mode).slice(0, 2)).toEqual(['native copy', 'generic copy'])
      // The package is an optional one.
      if (!tried[3]!.ok) expect(tried[3]!.error).toMatch(/raw-socket can't be loaded/)
      for (const { ok, frames, ms } of tried) if (ok) expect([frames > 0, ms > 0]).toEqual([true, true])
    })

    it('leaves nothing when it is interrupted', async () => {
      const child = spawn(process.execPath, [BIN, 'doctor', '--try'], { stdio: 'ignore' })
      const ended = once(child, 'exit')
      const deadline = Date.now() + 20_000
      while (scratch(child.pid!).length < 2 && child.exitCode === null && Date.now() < deadline)
        await new Promise((resolve) => setImmediate(resolve))
      child.kill('SIGTERM')
      expect((await ended)[0]).toBe(143)
      expect(scratch(child.pid!)).toEqual([])
    })

    it('says that it needs root, which is no verdict on the device', () => {
      const { status, stdout } = zcrxd(['doctor', '--json', '--try', 'memory:'], onlyCapabilities())
      expect(status).toBe(0)
      const report = JSON.parse(stdout) as DoctorReport
      expect(report.tried).toBeUndefined()
      expect(report.findings.at(-1)).toMatchObject({
        check: '--try',
        status: 'note',
        fix: 'sudo zcrxd doctor --try',
      })
    })
  })
})
