import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CaptureNic, type ConnectionHandler, type ServerOptions } from '../../daemon/api.ts'
import { type RunOptions, run } from '../../daemon/run/run.ts'
import { type RunReport, renderRunReport } from '../../daemon/run/totals.ts'
import { MemoryLink } from '../../driver/memory/index.ts'
import type { Nic } from '../../driver/nic.ts'
import { ImpairedNic, RateLimitNic } from '../../driver/wrap/index.ts'
import { NicError } from '../../errors.ts'
import type { Connection } from '../../net/connection.ts'
import { FakeConnection, FakeServer } from './fakes.ts'

const defaults: RunOptions = {
  device: 'xdp:fake0/1',
  listen: { address: '198.18.0.2', port: 9000 },
  sink: { kind: 'discard' },
  ownAddress: false,
  dad: true,
  once: false,
  json: true,
  verbose: false,
  statsEvery: 0,
}

interface Started {
  server: FakeServer
  options: ServerOptions
  output: string[]
  logs: Record<string, unknown>[]
  abort: AbortController
  status: Promise<number>
}

async function start(options: Partial<RunOptions>, listening?: string[]): Promise<Started> {
  const output: string[] = []
  const logs: Record<string, unknown>[] = []
  const abort = new AbortController()
  const log = pino({ base: null }, { write: (line: string) => void logs.push(JSON.parse(line)) })
  let opened: { server: FakeServer; options: ServerOptions } | undefined
  const status = run({ ...defaults, ...options }, abort.signal, {
    openDevice: () => new MemoryLink().b,
    openDevices: () => [],
    createServer: async (serverOptions) => {
      const server = new FakeServer(serverOptions.handler as ConnectionHandler)
      if (listening !== undefined) server.listening = listening
      const { device } = serverOptions
      if (typeof device !== 'string') server.onClose = () => (device as Nic).close()
      opened = { server, options: serverOptions }
      return server
    },
    createLogger: () => log,
    droppedLogLines: () => 0,
    print: (text) => output.push(text),
  })
  await expect.poll(() => logs.length).toBeGreaterThan(0)
  return { ...opened!, output, logs, abort, status }
}

describe('run', () => {
  it('passes on where to listen, and logs it', async () => {
    const { options, abort, status, logs } = await start({ areaBytes: 8 << 20, ownAddress: true })
    expect(options).toMatchObject({
      device: 'xdp:fake0/1',
      address: '198.18.0.2',
      port: 9000,
      areaBytes: 8 << 20,
      ownAddress: true,
    })
    expect(logs[0]).toMatchObject({
      msg: 'listening',
      listen: '198.18.0.2:9000',
      mode: 'fake mode',
      sink: 'discard',
    })
    abort.abort()
    expect(await status).toBe(0)
  })

  it('passes on how long to look for frames, to workers too', async () => {
    const { options, abort, status } = await start({ busyPollUs: 50 })
    expect([options.busyPoll, options.spinUs]).toEqual([50, undefined])
    abort.abort()
    await status
    const threads = await start({ busyPollUs: 50, workers: 1 })
    expect([threads.options.busyPoll, threads.options.spinUs]).toEqual([50, 50])
    threads.abort.abort()
    await threads.status
  })

  it('passes addresses of our own on, and which of them to listen on', async () => {
    const addresses = ['198.18.0.2/24', '2001:db8::5/64']
    const gateways = ['198.18.0.1']
    const { options, abort, status } = await start({ ownAddress: true, addresses, gateways, vlan: [7] })
    expect(options).toMatchObject({
      address: addresses,
      listenOn: '198.18.0.2',
      gateway: gateways,
      ownAddress: true,
      dad: true,
      ip: { vlan: [7] },
    })
    abort.abort()
    await status
    const plain = await start({ listen: { port: 9000 } })
    expect([plain.options.address, plain.options.dad, plain.options.listenOn]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    plain.abort.abort()
    await plain.status
    await expect(
      run({ ...defaults, ownAddress: true, addresses: ['auto'] }, new AbortController().signal),
    ).rejects.toThrow('is none of --address auto')
  })

  it('listens in several places, and says where it is reached when that changes', async () => {
    const listen = [{ port: 9000 }, { address: '198.18.0.2', port: 9001 }]
    const { server, options, abort, status, logs, output } = await start({ listen, takeOver: true })
    expect(options).toMatchObject({ listen, takeOver: true })
    expect([options.port, options.address]).toEqual([undefined, undefined])
    const failure = new Error('TCP port 9000 of 198.18.0.3 is taken')
    server.addressesChanged!({ listening: ['198.18.0.2:9000', '198.18.0.9:9000'], failures: [failure] })
    server.addressesChanged!({ listening: [], failures: [] })
    expect(logs.slice(-3)).toMatchObject([
      { level: 50, msg: `not listening at a new address: ${failure.message}` },
      { level: 30, listen: '198.18.0.2:9000, 198.18.0.9:9000' },
      { level: 40, msg: expect.stringContaining('nobody can connect') },
    ])
    expect(logs.some(({ msg }) => msg === 'listening')).toBe(true)
    server.listening = ['198.18.0.2:9000', '[2001:db8::1]:9001']
    abort.abort()
    expect(await status).toBe(0)
    expect(JSON.parse(output.at(-1)!).listen).toBe('198.18.0.2:9000, [2001:db8::1]:9001')
    for (const [one, expected] of [
      [
        { address: '0.0.0.0', port: 1 },
        { port: 1, listenOn: '0.0.0.0' },
      ],
      [
        { address: '::', port: 1 },
        { port: 1, listenOn: '::' },
      ],
      [
        [
          { address: '198.18.0.2', port: 1 },
          { address: '198.18.0.2', port: 2 },
        ],
        { address: ['198.18.0.2'] },
      ],
    ] as const) {
      const plain = await start({ listen: one })
      expect(plain.options).toMatchObject(expected)
      if (!('address' in expected)) expect(plain.options.address).toBeUndefined()
      plain.abort.abort()
      await plain.status
    }
  })

  it('does not call it listening where there is no address to connect to', async () => {
    const { abort, status, logs } = await start({ listen: { address: '::', port: 9000 } }, [])
    abort.abort()
    await status
    expect(logs[0]).toMatchObject({ listen: '', msg: expect.stringContaining('nobody can connect') })
    expect(logs.some(({ msg }) => msg === 'listening')).toBe(false)
  })

  it('puts what spoils and slows frames between device and capture', async () => {
    const { options, abort, status, logs } = await start({
      impair: { loss: 0.1, delayUs: 1000 },
      rateLimit: 1e9,
    })
    const device = options.device as ImpairedNic
    expect(device).toBeInstanceOf(ImpairedNic)
    expect(device.inner).toBeInstanceOf(RateLimitNic)
    expect(logs[0]).toMatchObject({ level: 40, loss: 0.1, seed: expect.any(Number) })
    abort.abort()
    await status
  })

  it('ends with an error line and a status when the device goes away, so that it can be started anew', async () => {
    const { server, status, logs } = await start({})
    await expect.poll(() => server.gone).not.toBeNull()
    server.gone!(new NicError('ZCRX_NIC_GONE', 'fake0 was deleted', 'make it again'))
    expect(await status).toBe(1)
    expect(logs.find(({ level }) => level === 50)).toMatchObject({ code: 'ZCRX_NIC_GONE' })
    expect(server.closed).toBe(1)
  })

  it('resets what is open when interrupted, gives the queue back, prints the totals', async () => {
    const { server, abort, output, status } = await start({})
    const connection = new FakeConnection(1)
    server.handler.onConnection(connection)
    expect(server.handler.onData(connection, 0, 1000)).toBe(true)
    // One that has brought nothing: there is nothing to cut.
    const idle = new FakeConnection(2)
    server.handler.onConnection(idle)
    abort.abort()
    expect(await status).toBe(3)
    // Its end must not say that all is stored.
    expect([connection.closed, connection.wasReset, server.closed]).toEqual([0, 1, 1])
    expect([idle.closed, idle.wasReset]).toEqual([0, 1])
    const report = JSON.parse(output.at(-1)!) as RunReport
    expect(report).toMatchObject({
      connections: 2,
      receivedBytes: 1000,
      sinkBytes: 1000,
      broken: 0,
      sinkFailures: 0,
      cut: 1,
      openConnections: 0,
    })
    expect(report.connectionList[0]).toMatchObject({ remote: '198.18.0.1:40001', end: 'interrupted' })
    expect(renderRunReport(report).join('\n')).toContain('0 reset or timed out, 1 transfers cut')
  })

  it('warns of a sink that keeps buffers for long, and says whose they are', async () => {
    const { server, abort, status, logs } = await start({})
    expect(server.held?.afterMs).toBe(5000)
    const connection = new FakeConnection(1) as unknown as Connection
    const holders = [
      { connection, buffers: 9, oldestMs: 6200 },
      { connection: null, buffers: 1, oldestMs: 5100 },
    ]
    server.held!.report!({ buffers: 10, oldestMs: 6200, holders })
    expect(logs.at(-1)).toMatchObject({
      level: 40,
      buffers: 10,
      oldestMs: 6200,
      connections: ['198.18.0.1:40001 9', 'ended 1'],
    })
    abort.abort()
    expect(await status).toBe(0)
  })

  it('stores what was received before it gives the memory back', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'zcrx-run-'))
    try {
      const { server, abort, output, status } = await start({ sink: { kind: 'file', directory } })
      const connection = new FakeConnection(1)
      server.handler.onConnection(connection)
      expect(server.handler.onData(connection, 100, 3000)).toBe(false)
      let releasedAtClose = -1
      server.onClose = () => {
        releasedAtClose = connection.released.length
      }
      abort.abort()
      expect(await status).toBe(3)
      expect(releasedAtClose).toBe(1)
      const [record] = (JSON.parse(output.at(-1)!) as RunReport).connectionList
      expect(record!.path).toMatch(/\.bin\.part$/)
      expect(readFileSync(record!.path!).equals(Buffer.from(server.area.subarray(100, 3100)))).toBe(true)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it('closes its own end only when the bytes are stored, and counts how streams ended', async () => {
    const { server, abort, output, logs, status } = await start({ sink: { kind: 'hash' } })
    const [good, reset] = [new FakeConnection(1), new FakeConnection(2)]
    for (const connection of [good, reset]) {
      server.handler.onConnection(connection)
      server.handler.onData(connection, 0, 10)
    }
    server.handler.onEnd(good, 0)
    server.handler.onEnd(reset, 104)
    expect(good.closed).toBe(0)
    await expect.poll(() => good.closed).toBe(1)
    // What is dead already is given back, too.
    expect([good.wasReset, reset.wasReset, reset.closed]).toEqual([0, 1, 0])
    abort.abort()
    expect(await status).toBe(3)
    const report = JSON.parse(output.at(-1)!) as RunReport
    expect(report).toMatchObject({ connections: 2, broken: 1, cut: 1 })
    expect(report.connectionList.map(({ end }) => end)).toEqual(['closed', 'ECONNRESET'])
    expect(report.connectionList[0]!.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(logs.some(({ msg }) => msg === 'connection ended: ECONNRESET')).toBe(true)
  })

  it('gives every connection back, however it ends', async () => {
    const { server, abort, output, status } = await start({ sink: { kind: 'discard' } })
    // ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EADDRNOTAVAIL, ENODEV, ECANCELED
    const errnos = [104, 110, 113, 99, 19, 125]
    const ended = errnos.map((errno, i) => {
      const connection = new FakeConnection(i + 1)
      server.handler.onConnection(connection)
      server.handler.onEnd(connection, errno)
      return connection
    })
    expect(ended.map(({ wasReset, closed }) => [wasReset, closed])).toEqual(errnos.map(() => [1, 0]))
    abort.abort()
    // Nothing had come: nothing was cut.
    expect(await status).toBe(0)
    expect(JSON.parse(output.at(-1)!)).toMatchObject({ connections: 6, broken: 6, cut: 0 })
  })

  it('ends after the first connection when told so', async () => {
    const { server, status } = await start({ once: true })
    const connection = new FakeConnection(1)
    server.handler.onConnection(connection)
    server.handler.onEnd(connection, 0)
    expect(await status).toBe(0)
    expect(server.closed).toBe(1)
  })

  it('says so when not everything is stored: reset connection, log, status 1', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'zcrx-run-'))
    const { server, abort, output, logs, status } = await start({ sink: { kind: 'file', directory } })
    rmSync(directory, { recursive: true })
    const connection = new FakeConnection(1)
    server.handler.onConnection(connection)
    server.handler.onData(connection, 0, 10)
    await expect.poll(() => connection.wasReset).toBe(1)
    // The file is made when there is something for it: its failure comes with the end here.
    const late = new FakeConnection(2)
    server.handler.onConnection(late)
    server.handler.onEnd(late, 0)
    await expect.poll(() => late.wasReset).toBe(1)
    abort.abort()
    expect(await status).toBe(1)
    expect([connection.closed, late.closed]).toEqual([0, 0])
    expect(connection.released).toEqual([0])
    expect(logs.find(({ level }) => level === 50)).toMatchObject({ receivedBytes: 10, sinkBytes: 0 })
    expect(JSON.parse(output.at(-1)!)).toMatchObject({
      sinkFailures: 2,
      cut: 2,
      receivedBytes: 10,
      sinkBytes: 0,
    })
  })

  it('tells of what earlier runs left', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'zcrx-run-'))
    try {
      writeFileSync(join(directory, 'old.bin.part'), 'x')
      const { abort, logs, status } = await start({ sink: { kind: 'file', directory } })
      abort.abort()
      expect(await status).toBe(0)
      expect(logs.find(({ count }) => count === 1)).toMatchObject({ level: 40, files: ['old.bin.part'] })
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it('gives the queue back when the device fails to open the sink first', async () => {
    const abort = new AbortController()
    let opened = false
    const status = run({ ...defaults, sink: { kind: 'file', directory: '/proc/zcrx' } }, abort.signal, {
      openDevices: () => [],
      openDevice: () => {
        opened = true
        throw new Error('not reached')
      },
      createServer: async () => {
        opened = true
        throw new Error('not reached')
      },
      createLogger: () => pino({ level: 'silent' }),
      droppedLogLines: () => 0,
      print: () => {},
    })
    await expect(status).rejects.toThrow("can't write into")
    expect(opened).toBe(false)
  })
})

describe('run with a capture', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'zcrx-run-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  function sendFrames({ device }: ServerOptions, count: number): void {
    const nic = device as Nic
    for (let i = 0; i < count; i++) nic.txCommit(nic.txReserve(), 1000)
    nic.txFlush()
  }

  it('puts it in front of the device, and says what it has', async () => {
    const file = join(directory, 'run.pcapng')
    const { options, abort, status, logs, output } = await start({ capture: { file, snapLength: 100 } })
    expect(options.device).toBeInstanceOf(CaptureNic)
    expect(logs[0]).toMatchObject({ msg: 'capturing', files: [file] })
    sendFrames(options, 3)
    abort.abort()
    expect(await status).toBe(0)
    const report = JSON.parse(output.at(-1)!) as RunReport
    expect(report.capture).toEqual({ files: [file], received: 0, sent: 3, missed: 0 })
    expect(renderRunReport(report).at(-1)).toBe(`captured: 0 frames received, 3 sent, in ${file}`)
    expect(readFileSync(file).length).toBeLessThan(1000)
  })

  it('goes on when it fails, says so, and exits 1', async () => {
    mkdirSync(join(directory, 'run_00002.pcapng'))
    const capture = { file: join(directory, 'run.pcapng'), fileBytes: 4096 }
    const { options, abort, status, logs, output } = await start({ capture })
    sendFrames(options, 10)
    await expect.poll(() => logs.find(({ level }) => level === 50)?.msg).toMatch(/EISDIR/)
    abort.abort()
    expect(await status).toBe(1)
    const report = JSON.parse(output.at(-1)!) as RunReport
    expect(report.capture).toMatchObject({ sent: 3, missed: 7, error: expect.stringContaining('EISDIR') })
    expect(renderRunReport(report).at(-1)).toMatch(/^capture ended early, 7 frames missing: .*EISDIR/)
  })

  it('starts nothing when it can not be written', async () => {
    const never = (): never => {
      throw new Error('not reached')
    }
    const capture = { file: join(directory, 'missing', 'run.pcapng') }
    const sink = { kind: 'file', directory: join(directory, 'sink') } as const
    const status = run({ ...defaults, capture, sink }, new AbortController().signal, {
      openDevice: never,
      openDevices: never,
      createServer: never,
      createLogger: () => pino({ level: 'silent' }),
      droppedLogLines: () => 0,
      print: never,
    })
    await expect(status).rejects.toMatchObject({ code: 'PCAP_IO', remedy: 'create its directory first' })
    expect(existsSync(sink.directory)).toBe(false)
  })
})

it('the totals for people name every connection, file and failure', async () => {
  const { server, abort, output, status } = await start({ json: false, sink: { kind: 'hash' } })
  const connection = new FakeConnection(1)
  server.handler.onConnection(connection)
  server.handler.onData(connection, 0, 2048)
  server.handler.onEnd(connection, 0)
  abort.abort()
  await status
  expect(output[0]).toContain('1           198.18.0.1:40001  2.00 KiB  2.00 KiB')
  expect(output[0]).toMatch(/sha256 of connection 1: [0-9a-f]{64}/)
  expect(output[0]).toContain('drops: noMemory 5\n')
  expect(output[0]).toContain('niovs: 4 in all, 4 free, 0 fill, 0 rx, 0 queued, 0 user, 0 lost')
})
