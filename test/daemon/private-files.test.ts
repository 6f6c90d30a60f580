/** Who may read what `zcrxd replay` and `zcrxd follow` write: the built program. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { BIN, built } from '../support/daemon.ts'

if (!built)
  console.warn('files of zcrxd replay and follow are not looked at: dist/ is not built (npm run setup)')

const SAMPLE = fileURLToPath(new URL('../../pcap/samples/chat.pcap', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'zcrx-private-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function zcrxd(...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [BIN, ...args, SAMPLE], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status, stderr }
}

describe.skipIf(!built).each(['replay', 'follow'])('zcrxd %s --out', (command) => {
  it('writes files that only their owner reads, unless told otherwise', () => {
    for (const [option, mode] of [
      [[], 0o600],
      [['--mode', '0644'], 0o644],
    ] as const) {
      const out = join(directory, `${command}-mode${option.length}`)
      expect(zcrxd(command, '--out', out, ...option).status).toBe(0)
      const files = readdirSync(out)
      expect(files).toHaveLength(2)
      for (const file of files) expect(statSync(join(out, file)).mode & 0o777).toBe(mode)
    }
  })
})

describe.skipIf(!built)('zcrxd replay --capture', () => {
  it('does not write through a link, and is only its owner’s', () => {
    const victim = join(directory, 'victim')
    writeFileSync(victim, 'precious')
    const path = join(directory, 'link.pcapng')
    symlinkSync(victim, path)
    const { status, stderr } = zcrxd('replay', '--capture', path)
    expect([status, stderr]).toEqual([
      1,
      `zcrxd: can't write ${path} (ELOOP)\n  what to do: name a file that can be: --capture FILE\n`,
    ])
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    const own = join(directory, 'own.pcapng')
    expect(zcrxd('replay', '--capture', own).status).toBe(0)
    expect(statSync(own).mode & 0o777).toBe(0o600)
  })
})
