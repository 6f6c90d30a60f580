import { createHash } from 'node:crypto'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writev,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FileSink, type FileSinkOptions } from '../../daemon/sinks/file.ts'
import { DiscardSink, HashSink } from '../../daemon/sinks/memory.ts'
import type { SinkStream } from '../../daemon/sinks/sink.ts'
import { type FileOperations, SYSTEM } from '../../sinks/operations.ts'
import { FakeConnection } from './fakes.ts'

const area = Uint8Array.from({ length: 64 * 1024 }, (_, i) => (i * 31 + (i >> 8)) & 0xff)
const chunks = [
  [8192, 1448],
  [0, 1448],
  [4100, 4092],
  [20_000, 1],
  [12_288, 4096],
] as const
const expected = Buffer.concat(chunks.map(([offset, length]) => area.subarray(offset, offset + length)))

function feed(stream: SinkStream): boolean[] {
  return chunks.map(([offset, length]) => stream.data(offset, length))
}

function context(): { area: Uint8Array; failures: Error[]; failed(error: Error): void } {
  const failures: Error[] = []
  return { area, failures, failed: (error) => failures.push(error) }
}

describe('discard and hash', () => {
  it('count, and give every chunk back at once', async () => {
    const stream = new DiscardSink().open()
    expect(feed(stream)).toEqual(chunks.map(() => true))
    expect(await stream.end(true)).toEqual({ bytes: expected.length })
  })

  it('hash what lies in the area', async () => {
    const stream = new HashSink().open(new FakeConnection(1), context())
    expect(feed(stream)).toEqual(chunks.map(() => true))
    const sha256 = createHash('sha256').update(expected).digest('hex')
    expect(await stream.end(true)).toEqual({ bytes: expected.length, sha256 })
  })
})

/** An error of a system call. */
function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}

describe('file', () => {
  let directory = ''
  const sinks: FileSink[] = []
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'zcrx-sink-'))
  })
  afterEach(async () => {
    vi.useRealTimers()
    for (const sink of sinks.splice(0)) await sink.close()
    rmSync(directory, { recursive: true, force: true })
  })

  async function create(
    operations: Partial<FileOperations> = {},
    options: FileSinkOptions = {},
  ): Promise<FileSink> {
    const sink = await FileSink.create(directory, options, { ...SYSTEM, ...operations })
    sinks.push(sink)
    return sink
  }

  it('writes the stream in order, keeps each chunk until then and gives it back exactly once', async () => {
    const connection = new FakeConnection(7)
    const stream = (await create()).open(connection, context())
    expect(feed(stream)).toEqual(chunks.map(() => false))
    expect(connection.released).toEqual([])
    const result = await stream.end(true)
    expect(result).toEqual({ bytes: expected.length, path: join(directory, '198.18.0.1-40007-7.bin') })
    expect(readFileSync(result.path!).equals(expected)).toBe(true)
    expect(connection.released).toEqual(chunks.map(([offset]) => offset))
    expect(readdirSync(directory)).toHaveLength(1)
  })

  it('goes on where a short write stopped', async () => {
    const connection = new FakeConnection(1)
    const short: FileOperations['writev'] = (fd, buffers, position, callback) =>
      writev(fd, [buffers[0]!.subarray(0, 1000)], position, (error, written) => callback(error, written))
    const stream = (await create({ writev: short })).open(connection, context())
    feed(stream)
    const result = await stream.end(true)
    expect(result.bytes).toBe(expected.length)
    expect(readFileSync(result.path!).equals(expected)).toBe(true)
    expect(connection.released).toEqual(chunks.map(([offset]) => offset))
  })

  it('makes an empty file for an empty stream, and none for one that was cut before its first byte', async () => {
    const sink = await create()
    expect(await sink.open(new FakeConnection(2), context()).end(false)).toEqual({ bytes: 0 })
    expect(readdirSync(directory)).toEqual([])
    const result = await sink.open(new FakeConnection(1), context()).end(true)
    expect(readFileSync(result.path!).length).toBe(0)
  })

  it('calls a file whole only when it is', async () => {
    const stream = (await create()).open(new FakeConnection(1), context())
    feed(stream)
    await expect.poll(() => readdirSync(directory)).toEqual(['198.18.0.1-40001-1.bin.part'])
    const result = await stream.end(false)
    expect(result).toEqual({
      bytes: expected.length,
      path: join(directory, '198.18.0.1-40001-1.bin.part'),
    })
    expect(readFileSync(result.path!).equals(expected)).toBe(true)
    expect(readdirSync(directory)).toHaveLength(1)
  })

  it('never overwrites a file, whole or not, and follows no link', async () => {
    const [whole, part] = ['198.18.0.1-40001-1.bin', '198.18.0.1-40002-2.bin.part']
    for (const name of [whole, part, 'victim']) writeFileSync(join(directory, name), 'earlier')
    symlinkSync(join(directory, 'victim'), join(directory, '198.18.0.1-40003-3.bin.part'))
    symlinkSync(join(directory, 'victim'), join(directory, '198.18.0.1-40004-4.bin'))
    const sink = await create()
    const paths: string[] = []
    for (const id of [1, 2, 3, 4]) {
      const stream = sink.open(new FakeConnection(id), context())
      feed(stream)
      paths.push((await stream.end(true)).path!)
    }
    expect(paths).toEqual([1, 2, 3, 4].map((id) => join(directory, `198.18.0.1-${40_000 + id}-${id}-2.bin`)))
    for (const path of paths) expect(readFileSync(path).equals(expected)).toBe(true)
    for (const name of [whole, part, 'victim'])
      expect(readFileSync(join(directory, name), 'utf8')).toBe('earlier')
  })

  it('does so where a file system has no hard links', async () => {
    writeFileSync(join(directory, '198.18.0.1-40001-1.bin'), 'earlier')
    const stream = (
      await create({ link: (_from, _to, callback) => setImmediate(callback, failure('EPERM')) })
    ).open(new FakeConnection(1), context())
    feed(stream)
    const result = await stream.end(true)
    expect(result).toMatchObject({ path: join(directory, '198.18.0.1-40001-1-2.bin') })
    expect(result.error).toBeUndefined()
    expect(readFileSync(result.path!).equals(expected)).toBe(true)
    expect(readdirSync(directory)).toHaveLength(2)
    expect(readFileSync(join(directory, '198.18.0.1-40001-1.bin'), 'utf8')).toBe('earlier')
  })

  it('tells of leftovers of earlier runs', async () => {
    expect((await create()).leftovers).toEqual({ count: 0, names: [] })
    for (let i = 0; i < 7; i++) writeFileSync(join(directory, `${i}.bin.part`), '')
    writeFileSync(join(directory, 'whole.bin'), '')
    const { count, names } = (await create()).leftovers
    expect([count, names.length]).toEqual([7, 5])
    expect(names[0]).toMatch(/^\d\.bin\.part$/)
  })

  it('tells of a full disk: how many bytes are stored, every chunk back, nothing more kept', async () => {
    const full = failure('ENOSPC')
    let calls = 0
    const connection = new FakeConnection(1)
    const watch = context()
    const stream = (
      await create({
        writev: (fd, buffers, position, callback) => {
          calls += 1
          if (calls === 1) writev(fd, [buffers[0]!.subarray(0, 500)], position, callback)
          else callback(full, 0)
        },
      })
    ).open(connection, watch)
    feed(stream)
    await expect.poll(() => watch.failures).toEqual([full])
    expect(connection.released).toEqual(chunks.map(([offset]) => offset))
    expect(stream.data(0, 10)).toBe(true)
    expect(await stream.end(true)).toMatchObject({
      bytes: 500,
      error: full,
      path: join(directory, '198.18.0.1-40001-1.bin.part'),
    })
    expect(connection.released.length).toBe(chunks.length)
    expect(readdirSync(directory)).toEqual(['198.18.0.1-40001-1.bin.part'])
  })

  it('tells of a file that can’t be opened', async () => {
    const denied = failure('EMFILE')
    const connection = new FakeConnection(1)
    const watch = context()
    const sink = await create({ open: (_path, _mode, callback) => setImmediate(callback, denied, -1) })
    const stream = sink.open(connection, watch)
    feed(stream)
    await expect.poll(() => watch.failures).toEqual([denied])
    expect(connection.released.length).toBe(chunks.length)
    expect(await stream.end(true)).toMatchObject({ bytes: 0, error: denied })
    expect(await sink.open(new FakeConnection(2), context()).end(true)).toEqual({ bytes: 0, error: denied })
  })

  it.each([
    ['fsync', '.bin.part'],
    ['close', '.bin.part'],
    ['link', '.bin.part'],
    ['remove', '.bin'],
    ['syncNames', '.bin'],
  ] as const)('is not stored when %s fails', async (operation, suffix) => {
    const broken = failure('EIO')
    const sink = await create({
      [operation]: (...args: unknown[]) => {
        if (operation === 'close') SYSTEM.close(args[0] as number, () => {})
        setImmediate(args.at(-1) as (error: Error) => void, broken)
      },
    })
    const stream = sink.open(new FakeConnection(1), context())
    feed(stream)
    expect(await stream.end(true)).toEqual({
      bytes: expected.length,
      path: join(directory, `198.18.0.1-40001-1${suffix}`),
      error: broken,
    })
  })

  it.each(['none', 'close', 'interval'] as const)('--fsync %s: what is synced, and when', async (kind) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const calls: string[] = []
    const watched = (name: 'fsync' | 'fdatasync' | 'close' | 'link' | 'syncNames') =>
      ((...args: unknown[]) => {
        calls.push(name)
        ;(SYSTEM[name] as (...args: unknown[]) => void)(...args)
      }) as FileOperations['fsync'] & FileOperations['link']
    const names = ['fsync', 'fdatasync', 'close', 'link', 'syncNames'] as const
    const fsync = kind === 'interval' ? ({ kind, everyMs: 1000 } as const) : ({ kind } as const)
    const connection = new FakeConnection(1)
    const sink = await create(Object.fromEntries(names.map((name) => [name, watched(name)])), { fsync })
    const stream = sink.open(connection, context())
    feed(stream)
    while (connection.released.length < chunks.length) await new Promise(setImmediate)
    await vi.advanceTimersByTimeAsync(999)
    expect(calls).toEqual([])
    await vi.advanceTimersByTimeAsync(5000)
    // Once: nothing was written since.
    expect(calls).toEqual(kind === 'interval' ? ['fdatasync'] : [])
    calls.length = 0
    await stream.end(true)
    expect(calls).toEqual(kind === 'none' ? ['close', 'link'] : ['fsync', 'close', 'link', 'syncNames'])
  })

  it('tells of what a sync in between finds, and waits for one that is under way', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const broken = failure('EIO')
    let synced: (error: NodeJS.ErrnoException | null) => void = () => {}
    let closed = 0
    const sink = await create(
      {
        fdatasync: (_fd, callback) => {
          synced = callback
        },
        close: (fd, callback) => {
          closed += 1
          SYSTEM.close(fd, callback)
        },
      },
      { fsync: { kind: 'interval', everyMs: 10 } },
    )
    const connection = new FakeConnection(1)
    const stream = sink.open(connection, context())
    feed(stream)
    while (connection.released.length < chunks.length) await new Promise(setImmediate)
    await vi.advanceTimersByTimeAsync(10)
    const end = stream.end(true)
    await new Promise(setImmediate)
    expect(closed).toBe(0)
    synced(broken)
    expect(await end).toMatchObject({ error: broken, path: expect.stringMatching(/\.part$/) })
    expect(closed).toBe(1)
  })

  it('writes files that only their owner reads, unless told otherwise', async () => {
    const umask = process.umask(0)
    try {
      const modes: number[] = []
      for (const options of [{}, { mode: 0o664 }]) {
        process.umask('mode' in options ? 0o077 : 0)
        const sink = await create({}, options)
        const { path } = await sink.open(new FakeConnection(modes.length + 1), context()).end(true)
        modes.push(statSync(path!).mode & 0o777)
      }
      expect(modes).toEqual([0o600, 0o664])
    } finally {
      process.umask(umask)
    }
  })

  it('makes one missing directory, and refuses what it can’t write to', async () => {
    await (await FileSink.create(join(directory, 'new'))).close()
    expect(readdirSync(directory)).toEqual(['new'])
    await expect(FileSink.create(join(directory, 'no', 'parent'))).rejects.toThrow(/can't write into/)
    await expect(FileSink.create('/proc/zcrx')).rejects.toThrow(/can't write into/)
    // Executable: the permission to look into it would be there.
    writeFileSync(join(directory, 'file'), '', { mode: 0o700 })
    await expect(FileSink.create(join(directory, 'file'))).rejects.toMatchObject({
      code: 'ZCRXD_SINK',
      message: expect.stringContaining('it is no directory'),
      remedy: expect.stringContaining('--sink file:DIR'),
    })
  })
})
