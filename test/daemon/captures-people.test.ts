/** `zcrxd replay` and `zcrxd follow` in front of people, who interrupt them. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { FileSink, LINKTYPE_ETHERNET, PcapWriter, packets } from '../../pcap/index.ts'
import { capinfos } from '../support/capture-tools.ts'
import { COMMANDS, missingTools, placeForFiles, sample, writeTo, zcrxd } from '../support/captures.ts'
import { BIN, built } from '../support/daemon.ts'

const missing = missingTools()
const ENDS = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const directory = placeForFiles()
const write = (name: string, bytes: Uint8Array): string => writeTo(directory, name, bytes)

/** Many packets of one conversation, without a FIN. */
function large(path: string, megabytes: number): string {
  const writer = new PcapWriter(new FileSink(path), { linkType: LINKTYPE_ETHERNET })
  const builder = packets(ENDS).handshake({ mss: 1460 }).client(60_000, { checksum: 'partial' })
  const frames = builder.list
  for (const { seconds, nanoseconds, bytes } of frames) writer.packet(seconds, nanoseconds, bytes)
  const last = frames.at(-1)!
  const sequence = 14 + 20 + 4
  const view = new DataView(last.bytes.buffer, last.bytes.byteOffset)
  const first = view.getUint32(sequence)
  for (let i = 1; i * 60_000 < megabytes * 1e6; i++) {
    view.setUint32(sequence, (first + i * 60_000) >>> 0)
    writer.packet(last.seconds + i, 0, last.bytes)
  }
  writer.close()
  return path
}

describe.skipIf(!built).each(COMMANDS)('zcrxd %s that is interrupted', (command) => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s while it waits for a pipe: status %i', async (signal, status) => {
    const child = spawn(process.execPath, [BIN, command, '-'], { stdio: ['pipe', 'pipe', 'pipe'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    // It says what came of a conversation when its ports are used again, and waits for more.
    const bytes = readFileSync(sample('ports-reused.pcap'))
    child.stdin.write(bytes.subarray(0, bytes.length - 10))
    await once(child.stdout, 'data')
    child.kill(signal)
    const [code] = await once(child, 'exit')
    expect([code, stderr]).toEqual([status, `zcrxd: interrupted by ${signal}\n`])
  })

  it('in the middle of a large file: status 130, and what was captured of it is whole', async () => {
    const path = large(join(directory, `large-${command}.pcap`), 200)
    const run = join(directory, `large-${command}-run.pcapng`)
    const options = command === 'replay' ? ['--capture', run] : ['--out', join(directory, 'large-out')]
    const child = spawn(process.execPath, [BIN, command, ...options, path], { stdio: 'pipe' })
    onTestFinished(() => void child.kill('SIGKILL'))
    const exit = once(child, 'exit')
    const seen = command === 'replay' ? run : join(directory, 'large-out', '000000-client.bin')
    while (!existsSync(seen)) await new Promise((resolve) => setImmediate(resolve))
    child.kill('SIGINT')
    const [code] = await exit
    rmSync(path)
    expect(code).toBe(130)
    if (command === 'replay' && missing === undefined) {
      expect(Number(capinfos(run)['Number of packets'])).toBeGreaterThan(0)
    }
    rmSync(seen)
  })
})

describe.skipIf(!built)('zcrxd for people', () => {
  it('shows a line for each stream, and what the capture held', () => {
    const { status, stdout, stderr } = zcrxd(['replay', sample('loss.pcap')])
    expect([status, stderr]).toEqual([0, ''])
    const [client, server, ...rest] = stdout.trimEnd().split('\n')
    expect(client).toMatch(
      /^ +0 {2}192\.0\.2\.1:40000 > 192\.0\.2\.2:80 +39\.1 KiB {2}fin {3}sha256 [0-9a-f]{16}… {2}\d+ completions, 0 B copied$/,
    )
    expect(server).toMatch(/^ +0 {2}192\.0\.2\.2:80 > 192\.0\.2\.1:40000 +0 B {2}fin/)
    expect(rest).toEqual([
      '61 packets, 61 TCP segments, 1 conversations',
      '61 frames played',
      'dropped by the stack: duplicate 2',
      '32768 buffers, 0 lost',
    ])
  })

  it('says what was left out, and why', () => {
    const { status, stdout } = zcrxd(['replay', sample('middle.pcap')])
    expect(status).toBe(0)
    expect(stdout).toMatch(/ left out: began before the capture\n/)
    expect(stdout).toContain('2 streams left out: began before the capture\n')
  })

  it('counts holes', () => {
    expect(zcrxd(['follow', sample('missing.pcap')]).stdout).toMatch(/ {2}3 holes of 5\.66 KiB\n/)
  })

  it('ends quietly when nobody reads on', () => {
    const file = write('flood.pcap', readFileSync(sample('syn-flood.pcap')))
    const line = `"${process.execPath}" "${BIN}" replay --json "${file}" | head -1; echo "\${PIPESTATUS[0]}" >&2`
    const { stdout, stderr } = spawnSync('bash', ['-c', line], { encoding: 'utf8', timeout: 30_000 })
    expect(stdout.trimEnd().split('\n').length).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ stream: 0, direction: 'client' })
    expect(stderr).toBe('0\n')
  })
})
