import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const EXAMPLE = join(import.meta.dirname, '../../dist/examples/07-two-threads.js')
if (!existsSync(EXAMPLE))
  console.warn('the example of two threads is skipped: nothing is compiled: npm run build')

it.skipIf(!existsSync(EXAMPLE))(
  'two threads receive into one area, each what is its own',
  async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [EXAMPLE], { timeout: 30_000 })
    const lines = stdout.trimEnd().split('\n')
    const sha256 = /sha256 (\w+)$/.exec(lines[0]!)?.[1]
    expect(sha256).toMatch(/^[0-9a-f]{16}$/)
    expect(lines).toEqual([
      `sent: 4000000 bytes each, sha256 ${sha256}`,
      `port 9000: 4000000 bytes, sha256 ${sha256}`,
      `port 9001: 4000000 bytes, sha256 ${sha256}`,
      'copied 0 bytes, lost buffers 0',
    ])
  },
  40_000,
)
