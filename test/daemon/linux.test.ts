import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import type { RunReport } from '../../daemon/run/totals.ts'
import { BIN, built, obstacle as noNamespaces, startDaemon } from '../support/daemon.ts'
import { linuxRingsObstacle } from '../support/linux-rings.ts'
import { VethPair } from '../support/netns.ts'

const obstacle = linuxRingsObstacle || (built ? '' : 'dist/ is not built (npm run setup)')
if (obstacle !== '') console.warn(`tests of zcrxd on the machine's own stack are skipped: ${obstacle}`)

const NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
const crowd = fileURLToPath(new URL('../support/crowd.mjs', import.meta.url))
const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end()
})

interface Running {
  readonly child: ChildProcess
  readonly port: number
  report(): Promise<{ status: number | null; report: RunReport; log: string }>
}

/** `zcrxd run --device linux:` on loopback. @param prefix command that runs it */
async function start(args: readonly string[], prefix: readonly string[] = []): Promise<Running> {
  const [command, ...rest] = [
    ...prefix,
    process.execPath,
    BIN,
    'run',
    '--device',
    'linux:',
    '--json',
    ...args,
  ]
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  ends.push(() => child.kill('SIGKILL'))
  let [log, output] = ['', '']
  child.stdout.on('data', (part) => {
    output += String(part)
  })
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (part) => {
      log += String(part)
      if (log.includes('"listening"')) resolve()
    })
    child.once('exit', (code) => reject(new Error(`zcrxd ended with ${code}: ${log}`)))
  })
  const line = log.split('\n').find((one) => one.includes('"listening"'))!
  const port = Number(/:(\d+)$/.exec((JSON.parse(line) as { listen: string }).listen)![1])
  const closed = once(child, 'close')
  return {
    child,
    port,
    report: async () => {
      const [status] = (await closed) as [number | null]
      return { status, report: JSON.parse(output) as RunReport, log }
    },
  }
}

describe.skipIf(obstacle !== '')('zcrxd run --device linux:', () => {
  it.skipIf(process.getuid?.() !== 0)('needs no privilege', async () => {
    const bytes = randomBytes(5_000_000)
    const args = ['--listen', '127.0.0.1:0', '--sink', 'hash', '--once']
    const daemon = await start(args, ['setpriv', ...NOBODY])
    connect(daemon.port, '127.0.0.1').end(bytes)
    const { status, report } = await daemon.report()
    expect(status).toBe(0)
    expect(report).toMatchObject({
      driver: 'linux',
      mode: 'sockets',
      zeroCopiedBytes: 0,
      copiedBytes: bytes.length,
    })
    expect(report.connectionList[0]!.sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
    expect(report.niovs).toMatchObject({ user: 0, lost: 0 })
  })

  it('stores a thousand connections at once, and ends when it is asked to', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'zcrx-linux-'))
    ends.push(() => rmSync(directory, { recursive: true, force: true }))
    const daemon = await start(['--listen', '127.0.0.1:0', '--sink', `file:${directory}`, '--fsync', 'none'])
    const sender = spawn(process.execPath, [crowd, `${daemon.port}`, '1000', '10000'], { stdio: 'ignore' })
    expect(await once(sender, 'close')).toEqual([0, null])
    const files = (): string[] =>
      spawnSync('find', [directory, '-type', 'f', '!', '-name', '*.part'], { encoding: 'utf8' })
        .stdout.split('\n')
        .filter((name) => name !== '')
    await expect.poll(() => files().length, { timeout: 20_000 }).toBe(1000)
    const expected = Buffer.alloc(10_000, 'crowd')
    expect(files().filter((name) => !readFileSync(name).equals(expected))).toEqual([])
    daemon.child.kill('SIGTERM')
    const { status, report } = await daemon.report()
    expect([status, report.openConnections, report.cut]).toEqual([0, 0, 0])
  })

  it.skipIf(noNamespaces !== '')('receives over an interface from another machine', async () => {
    using pair = new VethPair()
    const daemon = await startDaemon(
      pair.ours,
      ['--device', 'linux:', '--listen', ':9000', '--sink', 'hash', '--json'],
      (child) => ends.push(() => child.kill('SIGKILL')),
    )
    const sent = pair.run(pair.peer, process.execPath, crowd, '9000', '20', '1000000', pair.ourAddress)
    expect(sent).toBe('')
    daemon.child.kill('SIGINT')
    await once(daemon.child, 'close')
    const report = JSON.parse(daemon.output()) as RunReport
    expect(report.listen).toContain(`${pair.ourAddress}:9000`)
    const digest = createHash('sha256').update(Buffer.alloc(1_000_000, 'crowd')).digest('hex')
    expect(report.connectionList.map(({ sha256 }) => sha256)).toEqual(Array(20).fill(digest))
    expect(report.copiedBytes).toBe(20_000_000)
  })

  it.each([
    [['--address', '192.0.2.1/24'], '--own-address and --address'],
    [['--vlan', '7'], '--vlan'],
    [['--impair', 'loss=1%'], '--impair'],
    [['--rate-limit', '1M'], '--rate-limit'],
    [['--capture', '/nowhere/x.pcapng'], '--capture'],
    [['--workers', '2'], '--workers'],
    [['--take-over'], '--take-over'],
    [['--apply'], '--apply sets up the queue'],
  ])('refuses %j', (args, words) => {
    const all = [BIN, 'run', '--device', 'linux:', '--listen', ':0', ...args]
    const { status, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8', timeout: 20_000 })
    expect([status, stderr]).toEqual([2, expect.stringContaining(words)])
  })

  it('says what is missing for zero copy', () => {
    const run = (...args: string[]) => {
      const all = [BIN, 'run', '--listen', '127.0.0.1:0', ...args]
      return spawnSync(process.execPath, all, { encoding: 'utf8', timeout: 20_000 })
    }
    const refused = run('--device', 'linux:lo/0')
    expect(refused.status).toBe(1)
    expect(refused.stderr).toMatch(/can't be registered with io_uring \((EOPNOTSUPP|EINVAL|EPERM)\)/)
    expect(refused.stderr).toContain('what to do: ')
    expect(refused.stderr).not.toContain('    at ')
    expect(run('--device', 'linux:nowhere/0').stderr).toContain('there is no interface nowhere')
    expect(run('--device', 'xdp:lo', '--apply').stderr).toContain('linux:INTERFACE/QUEUE only')
  })
})
