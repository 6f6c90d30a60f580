import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'

/** A process with 0 to 5 free descriptors: says whether a server came to be each time, and what nobody caught. */
process.on('uncaughtException', ({ message }) => console.log('uncaught', message))
const open = (): Promise<Server> =>
  createServer({
    device: 'linux:',
    areaBytes: 1 << 16,
    port: 0,
    listenOn: '127.0.0.1',
    handler: { onData: () => true, onEnd() {} },
  })
await (await open()).close()
await sleep(50)
const most = Math.max(...readdirSync('/proc/self/fd').map(Number)) + 20
execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${most}:${most}`])
for (let left = 0; left < 6; left++) {
  const held: number[] = []
  try {
    for (;;) held.push(openSync('/dev/null', 'r'))
  } catch {
    for (let i = 0; i < left; i++) closeSync(held.pop()!)
  }
  const server = await open().catch(() => null)
  await sleep(30)
  for (const fd of held) closeSync(fd)
  console.log(server === null ? 'refused' : 'opened')
  await server?.close()
}
