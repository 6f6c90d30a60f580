import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Channel, Outlet } from '../../daemon/log/index.ts'
import { BIN, built } from '../support/daemon.ts'
import { PYTHON } from '../support/python.ts'

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}

/** A channel whose room and errors the test decides. */
class FakeChannel implements Channel {
  text = ''
  room = Number.POSITIVE_INFINITY
  error: NodeJS.ErrnoException | null = null
  calls = 0

  write(bytes: Uint8Array, done: (error: NodeJS.ErrnoException | null, count: number) => void): void {
    this.calls += 1
    const count = Math.min(bytes.length, this.room)
    if (count === 0 || (this.error !== null && this.room === Number.POSITIVE_INFINITY)) {
      done(this.error ?? failure('EAGAIN'), 0)
      return
    }
    this.room -= count
    this.text += Buffer.from(bytes.subarray(0, count)).toString()
    done(null, count)
  }

  writeNow(bytes: Uint8Array): number {
    let result = 0
    this.write(bytes, (error, count) => {
      if (error !== null) throw error
      result = count
    })
    return result
  }
}

describe('what leaves without waiting', () => {
  const droppedLine = (count: number): string => `dropped ${count}\n`
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('waits in the queue while nobody reads, and goes on in the middle of a line', () => {
    const channel = new FakeChannel()
    const outlet = new Outlet(channel, { droppedLine })
    channel.room = 7
    for (const line of ['one\n', 'two\n', 'three\n']) outlet.write(line)
    expect(channel.text).toBe('one\ntwo')
    const { calls } = channel
    vi.advanceTimersByTime(1000)
    // Looked at now and then, not all the time.
    expect(channel.calls - calls).toBeLessThan(100)
    channel.room = Number.POSITIVE_INFINITY
    vi.advanceTimersByTime(100)
    expect(channel.text).toBe('one\ntwo\nthree\n')
    expect(outlet.dropped).toBe(0)
  })

  it('drops what is too much, counts it, and says so where it is missing', () => {
    const channel = new FakeChannel()
    const outlet = new Outlet(channel, { maxBytes: 20, droppedLine })
    channel.room = 0
    for (let i = 0; i < 10; i++) outlet.write(`line ${i}\n`)
    expect(outlet.dropped).toBe(8)
    channel.room = Number.POSITIVE_INFINITY
    vi.advanceTimersByTime(100)
    outlet.write('late\n')
    expect(channel.text).toBe('line 0\nline 1\ndropped 8\nlate\n')
    expect(outlet.dropped).toBe(8)
  })

  it.each(['ENOSPC', 'EPIPE', 'EIO'])('survives %s, and is there again afterwards', (code) => {
    const channel = new FakeChannel()
    const outlet = new Outlet(channel, { droppedLine })
    channel.error = failure(code)
    for (let i = 0; i < 3; i++) outlet.write('lost\n')
    expect([outlet.dropped, outlet.error?.code]).toEqual([3, code])
    channel.error = null
    outlet.write('found\n')
    expect(channel.text).toBe('dropped 3\nfound\n')
    expect([outlet.dropped, outlet.error]).toEqual([3, null])
  })

  it('ends a line that a full disk has cut', () => {
    const channel = new FakeChannel()
    const outlet = new Outlet(channel, { droppedLine })
    channel.room = 3
    channel.error = failure('ENOSPC')
    outlet.write('cut in two\n')
    channel.error = null
    channel.room = Number.POSITIVE_INFINITY
    outlet.write('whole\n')
    expect(channel.text).toBe('cut\ndropped 1\nwhole\n')
  })

  it('waits a bounded time at the end', async () => {
    const channel = new FakeChannel()
    const outlet = new Outlet(channel, { droppedLine })
    channel.room = 0
    outlet.write('never\n')
    const drained = outlet.drain(500)
    await vi.advanceTimersByTimeAsync(500)
    expect(await drained).toBe(false)
    // And at the very end tries once more.
    channel.room = 4
    outlet.flushNow()
    expect(channel.text).toBe('neve')
  })

  it('resolves when the last line has left, and tells what was dropped at the end', async () => {
    const channel = new FakeChannel()
    const outlet = new Outlet(channel, { maxBytes: 10, droppedLine })
    channel.room = 0
    outlet.write('first\n')
    outlet.write('second\n')
    const drained = outlet.drain(500)
    channel.room = Number.POSITIVE_INFINITY
    await vi.advanceTimersByTimeAsync(100)
    expect(await drained).toBe(true)
    expect(channel.text).toBe('first\ndropped 1\n')
  })
})

/** The built module, for processes of their own. */
const MODULE = fileURLToPath(new URL('../../dist/daemon/log/index.js', import.meta.url))
if (!built) console.warn('processes that log are skipped: dist/ is not built (npm run setup)')

describe.skipIf(!built)('standard error of a process', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'zcrx-log-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  /** Logs `lines` lines of some 1000 bytes; says on standard output how many were dropped, and how long logging took. */
  const SCRIPT = `
    const { createLogger, drainLogs, droppedLogLines } = await import(process.argv[1])
    const log = createLogger('info')
    const started = performance.now()
    for (let i = 0; i < Number(process.argv[2]); i++) log.info({ i }, 'x'.repeat(1000))
    const ms = performance.now() - started
    await drainLogs()
    process.stdout.write(JSON.stringify({ dropped: droppedLogLines(), ms }))`

  function logTo(stderr: number, lines: number, prefix: readonly string[] = []) {
    const node = [process.execPath, '--input-type=module', '-e', SCRIPT, MODULE, `${lines}`]
    const [command, ...args] = [...prefix, ...node]
    const { stdout, status, signal } = spawnSync(command!, args, {
      stdio: ['ignore', 'pipe', stderr],
      encoding: 'utf8',
      timeout: 10_000,
      killSignal: 'SIGKILL',
    })
    expect([status, signal]).toEqual([0, null])
    return JSON.parse(stdout) as { dropped: number; ms: number }
  }

  it('is a file: every line is there', () => {
    const file = join(directory, 'log')
    const fd = openSync(file, 'w')
    expect(logTo(fd, 300).dropped).toBe(0)
    closeSync(fd)
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).i)).toEqual(Array.from({ length: 300 }, (_, i) => i))
  })

  it('is on a full disk: the lines are counted, nothing ends', () => {
    const fd = openSync('/dev/full', 'w')
    expect(logTo(fd, 300).dropped).toBe(300)
    closeSync(fd)
  })

  /** Both ends of a pipe that nobody reads; it is full. */
  function fullPipe(): number {
    const path = join(directory, 'fifo')
    execFileSync('mkfifo', [path])
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    try {
      for (;;) writeSync(fd, Buffer.alloc(4096))
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('EAGAIN')
    }
    // An end that would wait, as programs have them.
    const blocking = openSync(path, constants.O_RDWR)
    closeSync(fd)
    return blocking
  }

  it('is a pipe that nobody reads: nothing waits, not the end either', () => {
    const fd = fullPipe()
    const { dropped, ms } = logTo(fd, 3000)
    // The queue holds a mebibyte.
    expect(dropped).toBeGreaterThan(1900)
    expect(ms).toBeLessThan(2000)
    closeSync(fd)
  })

  it.skipIf(process.getuid?.() !== 0)('is a pipe of another user', () => {
    const fd = fullPipe()
    const user = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
    expect(logTo(fd, 3000, user).dropped).toBeGreaterThan(1900)
    closeSync(fd)
  })

  it('is a socket that nobody reads, as the journal’s', () => {
    const python = `
import socket, subprocess, sys
a, b = socket.socketpair()
b.setblocking(True)
sys.exit(subprocess.run(sys.argv[1:], stderr=b, timeout=10).returncode)`
    const { dropped, ms } = logTo(2, 3000, [PYTHON, '-c', python])
    expect(dropped).toBeGreaterThan(1700)
    expect(ms).toBeLessThan(2000)
  })
})

describe.skipIf(!built)('the totals of zcrxd run', () => {
  const sample = fileURLToPath(new URL('../../pcap/samples/chat.pcap', import.meta.url))

  function played(stdout: number): { status: number | null; stderr: string } {
    const where = ['--address', '192.0.2.2', '--no-dad', '--listen', '192.0.2.2:80']
    const { status, stderr } = spawnSync(
      process.execPath,
      [BIN, 'run', '--device', `pcap:${sample}`, ...where],
      {
        stdio: ['ignore', stdout, 'pipe'],
        encoding: 'utf8',
        timeout: 20_000,
        killSignal: 'SIGKILL',
      },
    )
    return { status, stderr }
  }

  it('that find no room fail, and say so', () => {
    const full = openSync('/dev/full', 'w')
    const { status, stderr } = played(full)
    closeSync(full)
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('"code":"ENOSPC","msg":"the totals could not be printed"'),
    ])
  })

  it('that nobody wants any more are no failure', () => {
    const directory = mkdtempSync(join(tmpdir(), 'zcrx-log-'))
    execFileSync('mkfifo', [join(directory, 'fifo')])
    const reader = openSync(join(directory, 'fifo'), constants.O_RDONLY | constants.O_NONBLOCK)
    const writer = openSync(join(directory, 'fifo'), 'w')
    closeSync(reader)
    const { status, stderr } = played(writer)
    closeSync(writer)
    rmSync(directory, { recursive: true })
    expect([status, stderr]).toEqual([0, expect.stringContaining('the totals could not be printed')])
  })
})
