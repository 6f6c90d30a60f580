/** Where a server on an interface is reached: what Linux's own clients find. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDevices } from '../../host/devices/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server, ServerOptions } from '../../net/server.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { nextLine } from '../support/lines.ts'
import { ip, VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const handler = { onData: () => true, onEnd: (connection: { close(): void }) => connection.close() }

describe.skipIf(obstacle !== '')('a server on an interface', () => {
  let pair: VethPair
  let server: Server | undefined
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterEach(async () => {
    await server?.close()
    server = undefined
    pair.destroy()
  })

  function open(driver: string, options: Partial<ServerOptions>): Promise<Server> {
    const device = `${driver}:${pair.device}?netns=${pair.oursPath}${driver === 'xdp' ? '&mode=generic' : ''}`
    return createServer({ device, areaBytes: 2 << 20, handler, ...options })
  }

  /** What Linux's clients at the other end are told, target by target: `ok`, `ECONNREFUSED`, `ETIMEDOUT`. */
  async function tried(targets: readonly string[], namespace = pair.peer): Promise<Record<string, string>> {
    const script = `
import errno, json, socket, sys
seen = {}
for target in sys.argv[1:]:
    host, port = target.rsplit(':', 1)
    try:
        s = socket.create_connection((host.strip('[]'), int(port)), 1)
        s.close()
        seen[target] = 'ok'
    except TimeoutError:
        seen[target] = 'ETIMEDOUT'
    except OSError as e:
        seen[target] = errno.errorcode[e.errno]
print(json.dumps(seen))`
    const child = pair.start(namespace, PYTHON, '-c', script, ...targets)
    let text = ''
    child.stdout!.on('data', (part) => {
      text += part
    })
    await new Promise((resolve) => child.once('close', resolve))
    return JSON.parse(text)
  }

  const all = (port: number): string[] => [`${pair.ourAddress}:${port}`, `[${pair.ourAddress6}]:${port}`]

  it.each(['packet', 'xdp'])('is reached at every address of both versions over %s', async (driver) => {
    server = await open(driver, {
      listen: [{ port: 9000 }, { address: '0.0.0.0', port: 9001 }, { address: '::', port: 9002 }],
    })
    expect(server.listening).toEqual(expect.arrayContaining([...all(9000), all(9001)[0]!, all(9002)[1]!]))
    const [four, six] = [9000, 9001, 9002]
      .map(all)
      .reduce(([a, b], [c, d]) => [[a, c].flat().join(' '), [b, d].flat().join(' ')])
    const seen = await tried([...four!.split(' '), ...six!.split(' ')])
    expect(Object.values(seen)).toEqual(['ok', 'ok', 'ECONNREFUSED', 'ok', 'ECONNREFUSED', 'ok'])
  })

  it('follows the addresses as they come and go, and the ports with them', async () => {
    server = await open('xdp', { port: 9000 })
    const told: (readonly string[])[] = []
    server.onAddresses(({ listening, failures }) => {
      expect(failures).toEqual([])
      told.push(listening)
    })
    const later = ['10.77.0.9:9000', '[fd00:77::9]:9000']
    ip('-n', pair.ours, 'address', 'add', '10.77.0.9/24', 'dev', pair.device)
    ip('-n', pair.ours, 'address', 'add', 'fd00:77::9/64', 'dev', pair.device, 'nodad')
    await expect.poll(() => told.at(-1)).toEqual(expect.arrayContaining(later))
    expect(Object.values(await tried([...all(9000), ...later]))).toEqual(['ok', 'ok', 'ok', 'ok'])
    ip('-n', pair.ours, 'address', 'del', `${pair.ourAddress}/24`, 'dev', pair.device)
    await expect.poll(() => told.at(-1)).not.toContain(all(9000)[0])
    expect(server.addresses).not.toContain(pair.ourAddress)
    ip('-n', pair.ours, 'address', 'add', `${pair.ourAddress}/24`, 'dev', pair.device)
    await expect.poll(() => server!.addresses).toContain(pair.ourAddress)
    expect(Object.values(await tried(all(9000)))).toEqual(['ok', 'ok'])
  })

  it.each(['packet', 'xdp'])(
    'keeps connections while their address is away for a moment over %s',
    async (driver) => {
      const echo: ServerOptions['handler'] = {
        onData: (connection, offset, length) => {
          connection.send(server!.area.slice(offset, offset + length))
          return true
        },
        onEnd: (connection) => connection.close(),
      }
      server = await open(driver, { port: 9000, handler: echo })
      let listening = server.listening
      server.onAddresses((change) => {
        listening = [...change.listening]
      })
      const script = `
import socket, sys
s = socket.create_connection(('${pair.ourAddress}', 9000), 5)
for line in sys.stdin:
    s.sendall(line.encode())
    print(s.recv(100).decode(), end='', flush=True)
`
      const child = pair.start(pair.peer, PYTHON, '-c', script)
      child.stdin!.write('before\n')
      expect(await nextLine(child.stdout!)).toBe('before')
      ip('-n', pair.ours, 'address', 'del', `${pair.ourAddress}/24`, 'dev', pair.device)
      await expect.poll(() => listening).not.toContain(`${pair.ourAddress}:9000`)
      expect([server.openConnections, server.addresses.includes(pair.ourAddress)]).toEqual([1, false])
      ip('-n', pair.ours, 'address', 'add', `${pair.ourAddress}/24`, 'dev', pair.device)
      await expect.poll(() => listening).toContain(`${pair.ourAddress}:9000`)
      child.stdin!.end('after\n')
      expect(await nextLine(child.stdout!)).toBe('after')
      await expect.poll(() => server!.openConnections).toBe(0)
    },
  )

  it('refuses an address that the machine does not have, and takes one of another interface', async () => {
    for (const driver of ['packet', 'xdp']) {
      await expect(open(driver, { address: '10.77.0.99', port: 9000 })).rejects.toMatchObject({
        code: 'ZCRX_ADDRESS_NOT_AVAILABLE',
        errno: 99,
        remedy: expect.stringContaining('ownAddress'),
      })
      await expect(open(driver, { listen: [{ address: '10.77.0.99', port: 1 }] })).rejects.toMatchObject({
        code: 'ZCRX_ADDRESS_NOT_AVAILABLE',
      })
    }
    ip('-n', pair.ours, 'address', 'add', '198.51.100.7/32', 'dev', 'lo')
    ip('-n', pair.peer, 'route', 'add', '198.51.100.7', 'via', pair.ourAddress)
    server = await open('packet', { address: '198.51.100.7', port: 9000 })
    expect(await tried(['198.51.100.7:9000'])).toEqual({ '198.51.100.7:9000': 'ok' })
  })

  it('says that programs of the same host don’t get there, and refuses what only they could reach', async () => {
    server = await open('xdp', { port: 9000 })
    expect(server.notes.join()).toContain(`programs of this host itself can't connect over ${pair.device}`)
    expect(await tried([`${pair.ourAddress}:9000`], pair.ours)).toEqual({
      [`${pair.ourAddress}:9000`]: 'ECONNREFUSED',
    })
    for (const device of ['xdp:lo', 'packet:lo', 'auto:lo', 'raw:127.0.0.1', 'raw:::1', 'xdp:lo/0-1']) {
      expect(() => openDevices(device)).toThrow(
        expect.objectContaining({
          message: expect.stringMatching(/loopback.*nobody could connect.*tap:tap0/),
        }),
      )
    }
    await server.close()
    for (const driver of ['xdp', 'packet'])
      for (const address of ['127.0.0.1', '::1'])
        await expect(open(driver, { address, port: 9000 })).rejects.toThrow(/loopback.*nobody could connect/)
  })

  it.each(['packet', 'xdp'])('is refused a port that a service of the host has over %s', async (driver) => {
    const service = pair.start(
      pair.ours,
      PYTHON,
      '-c',
      `import socket
s = socket.create_server(("0.0.0.0", 9000))
print("ready", flush=True)
while True: s.accept()[0].close()`,
    )
    try {
      await new Promise((resolve) => service.stdout!.once('data', resolve))
      await expect(open(driver, { port: 9000 })).rejects.toMatchObject({
        code: 'ZCRX_NIC_BUSY',
        message: expect.stringContaining(`TCP port 9000 of ${pair.ourAddress} is taken`),
      })
      // Nothing of the attempt stays: the other address, which was free, is the service's neighbour's again.
      server = await open(driver, { listen: [{ address: '::', port: 9000 }] })
      await server.close()
      if (driver === 'packet') return
      let received = 0
      server = await open(driver, {
        port: 9000,
        takeOver: true,
        handler: { ...handler, onConnection: () => void received++ },
      })
      expect(await tried([all(9000)[0]!])).toEqual({ [all(9000)[0]!]: 'ok' })
      expect(received).toBe(1)
    } finally {
      service.kill('SIGKILL')
    }
  })

  it('keeps a service from taking its port over xdp, for as long as it is there', async () => {
    server = await open('xdp', { port: 9000 })
    const serve = (): string =>
      pair.run(
        pair.ours,
        PYTHON,
        '-c',
        `import socket
try: socket.create_server(("${pair.ourAddress}", 9000)); print("taken")
except OSError as e: print(e.errno)`,
      )
    expect(serve().trim()).toBe('98')
    await server.close()
    expect(serve().trim()).toBe('taken')
  })
})
