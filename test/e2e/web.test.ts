/** curl against Node's own HTTP and HTTPS servers, whose connections come over AF_XDP instead of the kernel's sockets. */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { CERTIFICATE, KEY } from '../support/certificate.ts'
import { LONG } from '../support/long.ts'
import { VethPair } from '../support/netns.ts'
import { until } from '../support/server-pair.ts'

const BYTES = LONG ? 1_000_000_000 : 40_000_000

/** A file of bytes that no compression and no repetition makes smaller; returns its digest. */
async function fill(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path, 'w')
  const block = Buffer.alloc(1 << 20)
  for (let at = 0, seed = 1; at < bytes; at += block.length) {
    for (let i = 0; i < block.length; i += 4) {
      seed = (Math.imul(seed, 1664525) + 1013904223) | 0
      block.writeInt32LE(seed, i)
    }
    const part = block.subarray(0, Math.min(block.length, bytes - at))
    hash.update(part)
    await file.write(part)
  }
  await file.close()
  return hash.digest('hex')
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

describe.skipIf(obstacle !== '')('Node’s HTTP over AF_XDP', () => {
  let pair: VethPair
  let server: Server
  let folder: string
  let sent: string
  const web = http.createServer((request, response) => {
    const path = join(folder, `server-${request.url!.slice(1)}`)
    if (request.method === 'PUT')
      pipeline(request, createWriteStream(path)).then(
        () => response.end(),
        () => {},
      )
    else {
      response.setHeader('Content-Length', statSync(path).size)
      pipeline(createReadStream(path), response).catch(() => {})
    }
  })
  const context = tls.createSecureContext({ key: KEY, cert: CERTIFICATE })

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'zcrx-web-'))
    sent = await fill(join(folder, 'sent'), BYTES)
    writeFileSync(join(folder, 'ca.pem'), CERTIFICATE)
    pair = new VethPair()
    server = await createServer({
      device: `xdp:${pair.device}?netns=${pair.oursPath}&mode=generic`,
      listen: [{ port: 80 }, { port: 443 }],
      areaBytes: 16 << 20,
    })
    server.on('connection', (connection) => {
      const stream = connection.toNode({ allowHalfOpen: true })
      const secure = (): tls.TLSSocket =>
        new tls.TLSSocket(stream, { isServer: true, secureContext: context })
      web.emit('connection', connection.localPort === 443 ? secure() : stream)
    })
  }, 60_000)
  afterAll(async () => {
    await server?.close()
    pair?.destroy()
    rmSync(folder, { recursive: true, force: true })
  })

  async function curl(...args: string[]): Promise<void> {
    const child = pair.start(pair.peer, 'curl', '--silent', '--show-error', '--fail', '--http1.1', ...args)
    let said = ''
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (part) => (said += part))
    const status = await new Promise((resolve) => child.once('close', resolve))
    expect([status, said]).toEqual([0, ''])
  }

  it.each(['http', 'https'])(
    'curl uploads and downloads over %s what it sent',
    async (scheme) => {
      const to = scheme === 'http' ? `http://${pair.ourAddress}` : 'https://zcrx.test'
      const trust = ['--cacert', join(folder, 'ca.pem'), '--resolve', `zcrx.test:443:${pair.ourAddress}`]
      await curl(...trust, '-T', join(folder, 'sent'), `${to}/${scheme}`)
      expect(await digest(join(folder, `server-${scheme}`))).toBe(sent)
      await curl(...trust, '-o', join(folder, 'back'), `${to}/${scheme}`)
      expect(await digest(join(folder, 'back'))).toBe(sent)
      rmSync(join(folder, `server-${scheme}`))
      await until(() => server.census().user === 0)
      expect(server.census().lost).toBe(0)
    },
    LONG ? 300_000 : 60_000,
  )
})
