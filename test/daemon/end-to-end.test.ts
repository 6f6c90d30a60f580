/**
 * zcrxd as people run it: the built program, over AF_XDP where that can be had. `npm test` builds it first.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { DemoReport } from '../../daemon/demo/report.ts'
import { NetworkPair } from '../../daemon/netns.ts'
import type { RunReport } from '../../daemon/run/totals.ts'
import { capinfos, noCaptureTools } from '../support/capture-tools.ts'
import { BIN, built, obstacle } from '../support/daemon.ts'
import { LONG } from '../support/long.ts'
import { PYTHON } from '../support/python.ts'
import { withCapture } from '../support/sharkd.ts'
import { tshark } from '../support/tshark.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.warn(`tests of captures are skipped: ${missing}`)
if (obstacle !== '') console.warn(`end-to-end tests over AF_XDP are skipped: ${obstacle}`)

function demo(args: string[], prefix: string[] = []): { status: number; report: DemoReport; stderr: string } {
  const [command, ...rest] = [...prefix, process.execPath, BIN, 'demo', '--json', ...args]
  const { status, stdout, stderr } = spawnSync(command!, rest, { encoding: 'utf8', timeout: 60_000 })
  const last = stdout.trimEnd().split('\n').at(-1)!
  expect(last, stderr).toMatch(/^\{.*\}$/)
  return { status: status ?? -1, report: JSON.parse(last), stderr }
}

/** Bytes of demos, each of which runs twice: through zcrx, and copied. */
const LARGE = LONG ? 48 << 20 : 24 << 20
const MIDDLE = LONG ? 32 << 20 : 16 << 20

function expectGood(report: DemoReport, bytes: number): void {
  for (const stack of [report, report.peer]) {
    expect(stack).toMatchObject({ bytes, sha256Ok: true, samplesWrong: 0, problems: [] })
    const { zeroCopiedBytes, copiedBytes } = stack
    // What is copied before it is put in order may be copied twice.
    if (['packet', 'raw'].includes(stack.driver)) expect(copiedBytes).toBeGreaterThanOrEqual(bytes)
    else expect(zeroCopiedBytes + copiedBytes).toBe(bytes)
    expect(stack.samplesChecked).toBeGreaterThan(0)
    for (const figure of [stack.seconds, stack.gbps, stack.cpuSecondsPerGB]) expect(figure).toBeGreaterThan(0)
  }
  const { total, free, fill, rx, queued, user, lost } = report.niovs
  expect([lost, free + fill + rx + queued + user]).toEqual([0, total])
}

describe.skipIf(!built)('zcrxd demo over the memory link', () => {
  it('verifies when asked for', () => {
    const { status, report } = demo(['--driver', 'memory', '--bytes', '4M', '--flows', '3', '--mtu', '9000'])
    expect([status, report.ok, report.driver]).toEqual([0, true, 'memory'])
    expect(report.fallback).toBeUndefined()
    expectGood(report, 4 << 20)
  })

  it.skipIf(process.getuid?.() !== 0)('is what an unprivileged user gets, with the reason', () => {
    const { status, report, stderr } = demo(
      ['--bytes', '4M'],
      ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'],
    )
    expect([status, report.driver]).toEqual([0, 'memory'])
    expect(report.fallback!.reason).toContain('uid 65534')
    expect(stderr).toContain('sudo')
    expectGood(report, 4 << 20)
  })

  it.skipIf(process.getuid?.() !== 0)('is not what someone gets who insists on AF_XDP', () => {
    const unprivileged = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
    const args = [...unprivileged, process.execPath, BIN, 'demo', '--driver', 'xdp']
    const { status, stderr } = spawnSync('setpriv', args, { encoding: 'utf8', timeout: 30_000 })
    expect(status).toBe(1)
    expect(stderr).toMatch(/need root[\s\S]*what to do: .*sudo/)
    expect(stderr).not.toContain('    at ')
  })
})

/** Frames by direction in the capture of a demo, and the streams opened; nothing in it is malformed. */
function captured(file: string): Promise<{ received: number; sent: number; streams: Set<string> }> {
  // Checksums of a sender on the same machine are not finished.
  return withCapture(file, false, async (capture) => {
    expect(await capture.frames('_ws.malformed', 'frame.number')).toEqual([])
    expect(Number(capinfos(file)['Number of packets'])).toBe(await capture.packets())
    const count = async (direction: number): Promise<number> =>
      (await capture.frames(`frame.packet_flags_direction == ${direction}`, 'frame.number')).length
    const opened = await capture.frames('tcp.flags.syn == 1 && tcp.flags.ack == 0', 'tcp.stream')
    return { received: await count(1), sent: await count(2), streams: new Set(opened.flat()) }
  })
}

describe.skipIf(!built || missing !== undefined)('zcrxd demo --capture', () => {
  const directory = mkdtempSync(join(tmpdir(), 'zcrx-capture-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it.each(obstacle === '' ? ['memory', 'xdp', 'tap', 'packet', 'raw'] : ['memory'])(
    'captures the queue of zcrx over %s',
    async (driver) => {
      const file = join(directory, `${driver}.pcapng`)
      const args = ['--driver', driver, '--bytes', '2M', '--flows', '2', '--capture', file]
      const { status, report, stderr } = demo(args)
      expect([status, report.ok], stderr).toEqual([0, true])
      expect(stderr).toContain(`capturing its frames to ${file}`)
      const { received, sent, streams } = await captured(file)
      // Both passes are in the file, the frames that are reported are those of the second.
      expect(received).toBeGreaterThan(2 * report.frames * 0.8)
      expect(sent).toBeGreaterThan(10)
      expect(streams.size).toBe(4)
    },
  )

  it('keeps the latest of several files, of cut frames', () => {
    const file = join(directory, 'ring.pcapng')
    const bounds = ['--snaplen', '128', '--capture-size', '16K', '--capture-files', '3']
    const { status } = demo(['--driver', 'memory', '--bytes', '1M', '--capture', file, ...bounds])
    expect(status).toBe(0)
    const files = readdirSync(directory).filter((name) => name.startsWith('ring'))
    expect(files).toHaveLength(3)
    for (const name of files) {
      expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(16 << 10)
      const lengths = tshark(join(directory, name), '-T', 'fields', '-e', 'frame.cap_len').map(Number)
      expect(Math.max(...lengths)).toBeLessThanOrEqual(128)
    }
  })

  it('says at once that the file can not be written', () => {
    const file = join(directory, 'missing', 'x.pcapng')
    const args = [BIN, 'demo', '--capture', file]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 20_000,
    })
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toBe(`zcrxd: ${file} can't be created: ENOENT\n  what to do: create its directory first\n`)
  })
})

describe.skipIf(obstacle !== '')('zcrxd demo over AF_XDP', () => {
  it.each([
    ['1500', '8'],
    ['9000', '1'],
    ['65535', '1'],
  ])('MTU %s, %s flows: every byte in place, every digest right', (mtu, flows) => {
    const { status, report } = demo(['--mtu', mtu, '--flows', flows, '--bytes', `${LARGE}`])
    expect([status, report.ok, report.driver]).toEqual([0, true, 'xdp'])
    expectGood(report, LARGE)
    expect(report).toMatchObject({
      mtu: Number(mtu),
      flows: Number(flows),
      copiedBytes: 0,
      congestionControl: 'cubic',
    })
    expect(report.verified.copiedBytes).toBe(0)
    expect(report.peer.congestionControl).toBe('cubic')
  })

  it.each([
    ['tap', '1500', MIDDLE],
    ['tap', '65535', MIDDLE],
    ['packet', '1500', 0],
    ['raw', '9000', 0],
  ])('over %s, MTU %s: every digest right, %i bytes in place', (driver, mtu, inPlace) => {
    const { status, report } = demo([
      '--driver',
      driver,
      '--mtu',
      mtu,
      '--flows',
      '2',
      '--bytes',
      `${MIDDLE}`,
    ])
    expect([status, report.ok, report.driver]).toEqual([0, true, driver])
    expectGood(report, MIDDLE)
    expect([report.zeroCopiedBytes, report.verified.zeroCopiedBytes]).toEqual([inPlace, inPlace])
  })

  it('shows a table and a verdict', () => {
    const args = [BIN, 'demo', '--bytes', '8M']
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 })
    expect(status).toBe(0)
    expect(stdout).toMatch(/verified pass: SHA-256 at both ends +match +match/)
    expect(stdout).toMatch(/\nOK: /)
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('removes all it made on %s', async (signal) => {
    const child = spawn(process.execPath, [BIN, 'demo', '--bytes', '1T'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const left = (): string[] =>
      readdirSync('/run/netns').filter((name) => name.startsWith(`zcrx-${child.pid}-`))
    await expect.poll(left, { timeout: 10_000 }).toHaveLength(2)
    // Mid-stream rather than while it sets up.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const asked = performance.now()
    child.kill(signal)
    const status = await exit(child)
    expect(performance.now() - asked).toBeLessThan(3000)
    expect(status).toBe(signal === 'SIGINT' ? 130 : 143)
    expect(left()).toEqual([])
  })
})

function exit(child: ChildProcess): Promise<number> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? -1 : -2))),
  )
}

describe.skipIf(obstacle !== '')('zcrxd run', () => {
  let pair: NetworkPair
  let directory = ''
  let daemon: ChildProcess | undefined
  let output = ''
  let logs = ''

  beforeAll(async () => {
    pair = await NetworkPair.create(1500)
    directory = mkdtempSync(join(tmpdir(), 'zcrx-run-'))
  })
  afterEach(async () => {
    if (daemon !== undefined && daemon.exitCode === null && daemon.signalCode === null) {
      daemon.kill('SIGKILL')
      await exit(daemon)
    }
  })
  afterAll(() => {
    pair.remove()
    rmSync(directory, { recursive: true, force: true })
  })

  async function run(...args: string[]): Promise<ChildProcess> {
    const { receiver } = pair
    output = ''
    logs = ''
    const command = [
      process.execPath,
      BIN,
      'run',
      '--device',
      receiver.device,
      '--queue',
      '0',
      '--json',
      ...args,
    ]
    const started = spawn('ip', ['netns', 'exec', receiver.namespace, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    started.stdout!.on('data', (part) => {
      output += part
    })
    started.stderr!.on('data', (part) => {
      logs += part
    })
    daemon = started
    await expect.poll(() => logs, { timeout: 10_000 }).toContain('"listening"')
    return started
  }

  /** An ordinary client of Linux's TCP; waits for the receiver's FIN. */
  function send(port: number, file: string, address = pair.receiver.address): void {
    const script = `
import socket, sys
s = socket.create_connection(('${address}', ${port}), 5)
s.settimeout(20)
s.sendall(open('${file}', 'rb').read())
s.shutdown(socket.SHUT_WR)
sys.exit(len(s.recv(1)))`
    execFileSync('ip', ['netns', 'exec', pair.sender.namespace, PYTHON, '-c', script], { timeout: 40_000 })
  }

  function report(): RunReport {
    return JSON.parse(output.trimEnd().split('\n').at(-1)!)
  }

  /** XDP programs on the receiver's interface, as ip shows them. */
  function attached(): unknown {
    const text = execFileSync(
      'ip',
      ['-j', '-d', '-n', pair.receiver.namespace, 'link', 'show', pair.receiver.device],
      { encoding: 'utf8' },
    )
    return JSON.parse(text)[0].xdp?.attached ?? null
  }

  it('writes each connection into a file, and gives everything back on SIGTERM', async () => {
    const data = randomBytes(5_000_003)
    writeFileSync(join(directory, 'sent'), data)
    const incoming = join(directory, 'incoming')
    const child = await run('--listen', ':9001', '--sink', `file:${incoming}`, '--area', '1M')
    expect(attached()).not.toBeNull()
    send(9001, join(directory, 'sent'))
    send(9001, join(directory, 'sent'))
    child.kill('SIGTERM')
    expect(await exit(child)).toBe(0)
    expect(attached()).toBeNull()
    const files = readdirSync(incoming)
    expect(files.length).toBe(2)
    for (const file of files) expect(readFileSync(join(incoming, file)).equals(data)).toBe(true)
    expect(report()).toMatchObject({
      connections: 2,
      receivedBytes: 2 * data.length,
      sinkBytes: 2 * data.length,
    })
    // Segments that are not full may be packed when a busy machine reads late: little, if anything.
    expect(report().copiedBytes).toBeLessThan(data.length / 1000)
    expect(report().niovs.lost).toBe(0)
  })

  it('hashes, and ends after one connection with --once', async () => {
    const data = randomBytes(1_000_001)
    writeFileSync(join(directory, 'sent'), data)
    const child = await run('--listen', `${pair.receiver.address}:9002`, '--sink', 'hash', '--once')
    send(9002, join(directory, 'sent'))
    expect(await exit(child)).toBe(0)
    const [record] = report().connectionList
    expect(record!.sha256).toBe(createHash('sha256').update(data).digest('hex'))
    expect(record!.end).toBe('closed')
  })

  it('is a host of its own at an address that it has tested, over a bad and slow link', async () => {
    const data = randomBytes(1_000_001)
    writeFileSync(join(directory, 'sent'), data)
    const address = pair.receiver.address.replace(/\d+$/, '77')
    const { namespace, device } = pair.sender
    execFileSync('ip', ['-n', namespace, 'route', 'add', address, 'dev', device])
    const own = [
      '--address',
      `${address}/24`,
      '--impair',
      'reorder=2%,duplicate=1%,delay=1ms,seed=3',
      '--rate-limit',
      '1G',
    ]
    const child = await run('--listen', ':9004', ...own, '--sink', 'hash', '--once')
    expect(logs).toContain('frames are spoiled on purpose')
    send(9004, join(directory, 'sent'), address)
    expect(await exit(child)).toBe(0)
    expect(report()).toMatchObject({ listen: `${address}:9004`, broken: 0 })
    expect(report().connectionList[0]!.sha256).toBe(createHash('sha256').update(data).digest('hex'))
  }, 60_000)

  it('leaves an address to who has it, and says who', () => {
    const { receiver, sender } = pair
    const args = ['--device', receiver.device, '--listen', ':9005', '--address', `${sender.address}/24`]
    const command = ['netns', 'exec', receiver.namespace, process.execPath, BIN, 'run', ...args]
    const { status, stderr } = spawnSync('ip', command, { encoding: 'utf8', timeout: 30_000 })
    expect(status).toBe(1)
    expect(stderr).toMatch(/in use on this link, by ([0-9a-f]{2}:){5}[0-9a-f]{2}[\s\S]*what to do: /)
  }, 40_000)

  it('leaves other ports of the interface to Linux', async () => {
    const { receiver, sender } = pair
    const web = spawn(
      'ip',
      [
        ...['netns', 'exec', receiver.namespace, PYTHON, '-m', 'http.server', '8080'],
        '--directory',
        directory,
      ],
      {
        stdio: 'ignore',
      },
    )
    try {
      writeFileSync(join(directory, 'page'), 'x'.repeat(300_000))
      await run('--listen', ':9003')
      const fetch = (): string =>
        spawnSync(
          'ip',
          [
            'netns',
            'exec',
            sender.namespace,
            'curl',
            '-s',
            '--max-time',
            '5',
            `http://${receiver.address}:8080/page`,
          ],
          {
            encoding: 'utf8',
          },
        ).stdout
      await expect.poll(() => fetch().length, { timeout: 10_000 }).toBe(300_000)
    } finally {
      web.kill('SIGKILL')
    }
  })

  it.skipIf(missing !== undefined)('captures what it receives and sends', async () => {
    const data = randomBytes(2_000_003)
    writeFileSync(join(directory, 'sent'), data)
    const file = join(directory, 'run.pcapng')
    const child = await run('--listen', ':9006', '--once', '--sink', 'hash', '--capture', file)
    send(9006, join(directory, 'sent'))
    expect(await exit(child)).toBe(0)
    const { capture, frames } = report()
    const { received, sent } = await captured(file)
    expect(capture).toEqual({ files: [file], received, sent, missed: 0 })
    // What the peer sends last may come when the totals have been taken.
    expect(received - frames).toBeGreaterThanOrEqual(0)
    expect(received - frames).toBeLessThan(3)
    const stream = tshark(file, '-q', '-z', 'follow,tcp,raw,0').filter((line) => /^[0-9a-f]+$/.test(line))
    expect(
      createHash('sha256')
        .update(Buffer.from(stream.join(''), 'hex'))
        .digest('hex'),
    ).toBe(createHash('sha256').update(data).digest('hex'))
    const comments = tshark(file, '-Y', 'tcp.len > 0', '-T', 'fields', '-e', 'frame.comment')
    expect(comments.length).toBeGreaterThan(10)
    for (const comment of comments)
      expect(comment).toMatch(
        /^(dropped: \w+; )?198\.18\.0\.1:\d+ > 198\.18\.0\.2:9006; niov \d+\+\d+(, \d+\+\d+)*$/,
      )
  })

  it.skipIf(missing !== undefined)('leaves what it has captured when it is killed', async () => {
    writeFileSync(join(directory, 'sent'), randomBytes(300_000))
    const file = join(directory, 'killed.pcapng')
    const child = await run('--listen', ':9007', '--capture', file)
    send(9007, join(directory, 'sent'))
    child.kill('SIGKILL')
    await exit(child)
    expect((await captured(file)).received).toBeGreaterThan(5)
    // The last segment of the connection is the stack's own FIN, or the ACK of it.
    expect(tshark(file, '-Y', 'tcp.flags.fin == 1').length).toBeGreaterThanOrEqual(2)
  })

  it('leaves no XDP program behind when it is killed', async () => {
    const child = await run('--listen', ':9004')
    expect(attached()).not.toBeNull()
    child.kill('SIGKILL')
    await exit(child)
    await expect.poll(attached, { timeout: 5000 }).toBeNull()
    // And the queue can be had again.
    const again = await run('--listen', ':9004')
    again.kill('SIGINT')
    expect(await exit(again)).toBe(0)
  })

  it('says what is wrong in a line, with what to do, and exits 1', () => {
    const args = [BIN, 'run', '--device', 'nonesuch0', '--listen', '198.18.0.2:9005']
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 })
    expect(status).toBe(1)
    expect(stderr).toContain('nonesuch0')
    expect(stderr).not.toContain('    at ')
  })
})
