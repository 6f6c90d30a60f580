/** What Linux's own senders are told by the end of the stream, and what an operator finds: over a real link. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RunReport } from '../../daemon/run/totals.ts'
import { BIN, obstacle } from '../support/daemon.ts'
import { VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

if (obstacle !== '') console.warn(`what senders are told is not tried over a link: ${obstacle}`)

/**
 * Sends from `count` connections at once `bytes` bytes each, and the end of the stream unless told otherwise; prints how many
 * saw what: `EOF`, `ECONNRESET` …
 */
const SENDER = `
import collections, errno, socket, struct, sys, time
address, port, count, size, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
deadline = time.time() + 10
while True:
    try:
        first = socket.create_connection((address, port), 2)
        break
    except OSError:
        if time.time() > deadline: raise
        time.sleep(0.05)
socks = [first] + [socket.create_connection((address, port), 10) for _ in range(count - 1)]
seen = collections.Counter()
for s in socks:
    s.settimeout(10)
    try:
        s.sendall(bytes(size))
        if how == 'reset': s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
    except OSError as e:
        seen[errno.errorcode.get(e.errno, str(e))] += 1
        s.close()
if how == 'end':
    for s in socks:
        try: s.shutdown(socket.SHUT_WR)
        except OSError: pass
for s in socks:
    if s.fileno() < 0: continue
    try:
        seen['EOF' if s.recv(1) == b'' else 'data'] += 1
    except OSError as e:
        seen[errno.errorcode.get(e.errno, str(e))] += 1
import json
print(json.dumps(seen))`

describe.skipIf(obstacle !== '')('zcrxd run over a veth pair', () => {
  let pair: VethPair
  let directory = ''
  let daemon: ChildProcess | undefined
  let output = ''
  const mounts: string[] = []

  beforeAll(() => {
    pair = new VethPair()
    directory = mkdtempSync(join(tmpdir(), 'zcrx-stored-'))
  })
  afterEach(async () => {
    if (daemon !== undefined && daemon.exitCode === null && daemon.signalCode === null) {
      daemon.kill('SIGKILL')
      await ended(daemon)
    }
  })
  afterAll(() => {
    for (const mount of mounts) execFileSync('umount', [mount])
    pair?.destroy()
    rmSync(directory, { recursive: true, force: true })
  })

  function ended(child: ChildProcess): Promise<number> {
    if (child.exitCode !== null) return Promise.resolve(child.exitCode)
    return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? -1)))
  }

  /** Starts it; whether it listens is what the sender finds out. @param stderr descriptor */
  function start(args: readonly string[], stderr: number | 'ignore' = 'ignore', limit = ''): ChildProcess {
    output = ''
    const run = [process.execPath, BIN, 'run', '--device', `packet:${pair.device}`, '--json', ...args]
    const shell = ['sh', '-c', `${limit === '' ? '' : `ulimit -n ${limit}; `}exec "$@"`, 'sh', ...run]
    const child = spawn('ip', ['netns', 'exec', pair.ours, ...shell], { stdio: ['ignore', 'pipe', stderr] })
    child.stdout!.setEncoding('utf8').on('data', (part: string) => {
      output += part
    })
    daemon = child
    return child
  }

  function sender(port: number, count: number, bytes: number, how: 'end' | 'reset' | 'stay'): ChildProcess {
    const args = [pair.ourAddress, `${port}`, `${count}`, `${bytes}`, how]
    return pair.start(pair.peer, PYTHON, '-c', SENDER, ...args)
  }

  /** What the sender has printed when it has ended. */
  async function seenBy(child: ChildProcess): Promise<Record<string, number>> {
    let text = ''
    child.stdout!.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    let trouble = ''
    child.stderr!.on('data', (part) => {
      trouble += part
    })
    await ended(child)
    expect(trouble).toBe('')
    return JSON.parse(text.trimEnd().split('\n').at(-1)!)
  }

  function report(): RunReport {
    return JSON.parse(output.trimEnd().split('\n').at(-1)!)
  }

  it('resets a sender whose bytes did not find room, and leaves a .part', async () => {
    const small = join(directory, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small])
    mounts.push(small)
    const child = start(['--listen', ':9100', '--sink', `file:${small}`])
    expect(await seenBy(sender(9100, 1, 2_000_000, 'end'))).toEqual({ ECONNRESET: 1 })
    child.kill('SIGTERM')
    expect(await ended(child)).toBe(1)
    const [file, ...more] = readdirSync(small)
    expect([more, file]).toEqual([[], expect.stringMatching(/\.bin\.part$/)])
    expect(statSync(join(small, file!)).size).toBe(1 << 20)
    expect(report()).toMatchObject({ sinkFailures: 1, cut: 1, sinkBytes: 1 << 20, openConnections: 0 })
  })

  it('tells those apart whose file could not be opened', async () => {
    const many = join(directory, 'many')
    const child = start(['--listen', ':9101', '--sink', `file:${many}`, '--fsync', 'none'], 'ignore', '300')
    const seen = await seenBy(sender(9101, 400, 1000, 'end'))
    child.kill('SIGTERM')
    await ended(child)
    const files = readdirSync(many)
    expect(files.length).toBeLessThan(300)
    // Every one was told what is so, whichever it was.
    expect([seen.EOF ?? 0, (seen.EOF ?? 0) + (seen.ECONNRESET ?? 0)]).toEqual([files.length, 400])
    for (const file of files) {
      expect(file).toMatch(/\.bin$/)
      expect(statSync(join(many, file)).size).toBe(1000)
    }
    expect(report()).toMatchObject({ connections: 400, sinkFailures: 400 - files.length })
  })

  it('gives back what was reset, and leaves nothing of connections that brought nothing', async () => {
    const none = join(directory, 'none')
    const child = start(['--listen', ':9102', '--sink', `file:${none}`, '--mode', '640'])
    expect(await seenBy(sender(9102, 300, 0, 'reset'))).toEqual({})
    // One more that stays whole: the daemon is well.
    expect(await seenBy(sender(9102, 1, 10, 'end'))).toEqual({ EOF: 1 })
    child.kill('SIGTERM')
    expect(await ended(child)).toBe(0)
    const [file, ...more] = readdirSync(none)
    expect([more, file]).toEqual([[], expect.stringMatching(/\.bin$/)])
    expect(statSync(join(none, file!)).mode & 0o777).toBe(0o640)
    expect(report()).toMatchObject({ cut: 0, sinkFailures: 0, openConnections: 0, niovs: { lost: 0 } })
  })

  it('resets who has not ended when it is stopped, and exits 3', async () => {
    const cut = join(directory, 'cut')
    mkdirSync(cut)
    writeFileSync(join(cut, 'old.bin.part'), 'old')
    const child = start(['--listen', ':9103', '--sink', `file:${cut}`])
    const peer = sender(9103, 2, 5000, 'stay')
    const seen = seenBy(peer)
    await expect
      .poll(() => readdirSync(cut).reduce((sum, name) => sum + statSync(join(cut, name)).size, 0), {
        timeout: 10_000,
      })
      .toBe(10_003)
    child.kill('SIGINT')
    expect(await ended(child)).toBe(3)
    expect(await seen).toEqual({ ECONNRESET: 2 })
    const files = readdirSync(cut)
    expect(files).toHaveLength(3)
    for (const file of files) expect(file).toMatch(/\.part$/)
    expect(report()).toMatchObject({ connections: 2, cut: 2, sinkFailures: 0 })
  })

  it('goes on when nobody takes its log, and ends when it is asked to', async () => {
    const fifo = join(directory, 'log')
    execFileSync('mkfifo', [fifo])
    const filling = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
    expect(() => {
      for (;;) writeSync(filling, Buffer.alloc(4096))
    }).toThrow('EAGAIN')
    const stuck = openSync(fifo, constants.O_RDWR)
    const full = openSync('/dev/full', 'w')
    for (const [port, stderr] of [
      [9104, stuck],
      [9105, full],
    ] as const) {
      const child = start(['--listen', `:${port}`, '--sink', 'hash', '--verbose'], stderr)
      expect(await seenBy(sender(port, 50, 10_000, 'end'))).toEqual({ EOF: 50 })
      const asked = performance.now()
      child.kill('SIGINT')
      expect(await ended(child)).toBe(0)
      expect(performance.now() - asked).toBeLessThan(5000)
      expect(report()).toMatchObject({ connections: 50, sinkBytes: 500_000 })
      if (stderr === full) expect(report().logLinesDropped).toBeGreaterThan(100)
    }
    for (const fd of [filling, stuck, full]) closeSync(fd)
  })
})
