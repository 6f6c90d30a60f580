/** What keeps a process alive, and what does not: in processes of their own. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { linuxRingsObstacle } from '../support/linux-rings.ts'

const INDEX = join(import.meta.dirname, '../../dist/index.js')
const compiled = existsSync(INDEX)
if (!compiled) console.warn('ref and unref are skipped: nothing is compiled: npm run build')

/** Runs a program that says `ready` when it has nothing more to do. Returns whether it ends by itself, within so long. */
async function ends(program: string, patienceMs: number): Promise<boolean> {
  // The machine's own sockets: over a wire in memory nothing can come from outside, and nothing keeps a process alive.
  const text = `import { createServer, openHost } from ${JSON.stringify(INDEX)}
const server = await createServer({ device: 'linux:', listenOn: '127.0.0.1', port: 0 })
const far = await openHost({ device: 'linux:' })
const to = { host: '127.0.0.1', port: server.port }
${program}
console.log('ready')`
  const args = ['--input-type=module', '-e', text]
  const run = promisify(execFile)(process.execPath, args, { timeout: patienceMs, killSignal: 'SIGKILL' })
  return run.then(
    ({ stdout }) => stdout === 'ready\n',
    (error: { stdout: string; killed: boolean }) => {
      expect([error.stdout, error.killed]).toEqual(['ready\n', true])
      return false
    },
  )
}

const obstacle = linuxRingsObstacle
if (compiled && obstacle !== '') console.warn(`ref and unref are skipped: ${obstacle}`)

describe.skipIf(!compiled || obstacle !== '')('a process', () => {
  it.concurrent.each([
    ['stays for a server that listens', '', false],
    ['does not stay for one that is unref’d', 'server.unref()', true],
    ['stays for one that is ref’d again', 'server.unref().ref()', false],
    [
      'stays for a connection, also of a server that is unref’d',
      "server.unref(); server.on('connection', () => {}); await far.connect(to)",
      false,
    ],
    [
      'does not stay for connections that are unref’d, on either side',
      "server.unref(); const accepted = new Promise((resolve) => server.on('connection', resolve)); " +
        '(await far.connect(to)).unref(); (await accepted).unref()',
      true,
    ],
    [
      'ends when both sides have closed',
      "server.unref(); server.on('connection', (one) => one.toNode().resume()); " +
        'const one = await far.connect(to); one.close(); await one.closed',
      true,
    ],
  ])(
    '%s',
    async (_, program, expected) => {
      expect(await ends(program, expected ? 18_000 : 5000)).toBe(expected)
    },
    20_000,
  )
})
