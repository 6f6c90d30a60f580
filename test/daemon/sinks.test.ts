import { createHash } from 'node:crypto'
import { close, mkdtempSync, open, readdirSync, readFileSync, rmSync, writeFileSync, writev } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FileOperations, FileSink } from '../../daemon/sinks/file.ts'
import { DiscardSink, HashSink } from '../../daemon/sinks/memory.ts'
import type { SinkStream } from '../../daemon/sinks/sink.ts'
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
    expect(await stream.end()).toEqual({ bytes: expected.length })
  })

  it('hash what lies in the area', async () => {
    const stream = new HashSink().open(new FakeConnection(1), context())
    expect(feed(stream)).toEqual(chunks.map(() => true))
    const sha256 = createHash('sha256').update(expected).digest('hex')
    expect(await stream.end()).toEqual({ bytes: expected.length, sha256 })
  })
})

describe('file', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'zcrx-sink-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const plain: FileOperations = {
    open: (path, callback) => open(path, 'wx', callback),
    writev: (fd, buffers, position, callback) => writev(fd, buffers, position, callback),
    close,
  }

  it('writes the stream in order, keeps each chunk until then and gives it back exactly once', async () => {
    const connection = new FakeConnection(7)
    const stream = (await FileSink.create(directory)).open(connection, context())
    expect(feed(stream)).toEqual(chunks.map(() => false))
    expect(connection.released).toEqual([])
    const result = await stream.end()
    expect(result).toEqual({ bytes: expected.length, path: join(directory, '198.18.0.1-40007-7.bin') })
    expect(readFileSync(result.path!).equals(expected)).toBe(true)
    expect(connection.released).toEqual(chunks.map(([offset]) => offset))
  })

  it('goes on where a short write stopped', async () => {
    const connection = new FakeConnection(1)
    const short: FileOperations = {
      ...plain,
      writev: (fd, buffers, position, callback) =>
        writev(fd, [buffers[0]!.subarray(0, 1000)], position, (error, written) => callback(error, written)),
    }
    const stream = (await FileSink.create(directory, short)).open(connection, context())
    feed(stream)
    const result = await stream.end()
    expect(result.bytes).toBe(expected.length)
    expect(readFileSync(result.path!).equals(expected)).toBe(true)
    expect(connection.released).toEqual(chunks.map(([offset]) => offset))
  })

  it('makes an empty file for an empty stream', async () => {
    const result = await (await FileSink.create(directory)).open(new FakeConnection(1), context()).end()
    expect(readFileSync(result.path!).length).toBe(0)
  })

  it('never overwrites a file', async () => {
    writeFileSync(join(directory, '198.18.0.1-40001-1.bin'), 'earlier')
    const stream = (await FileSink.create(directory)).open(new FakeConnection(1), context())
    feed(stream)
    expect((await stream.end()).path).toBe(join(directory, '198.18.0.1-40001-1-2.bin'))
    expect(readFileSync(join(directory, '198.18.0.1-40001-1.bin'), 'utf8')).toBe('earlier')
  })

  it('tells of a full disk: how many bytes are stored, every chunk back, nothing more kept', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    let calls = 0
    const connection = new FakeConnection(1)
    const watch = context()
    const stream = (
      await FileSink.create(directory, {
        ...plain,
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
    expect(await stream.end()).toMatchObject({ bytes: 500, error: full })
    expect(connection.released.length).toBe(chunks.length)
  })

  it('tells of a file that can’t be opened', async () => {
    const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
    const connection = new FakeConnection(1)
    const watch = context()
    const sink = await FileSink.create(directory, {
      ...plain,
      open: (_path, callback) => setImmediate(callback, denied, -1),
    })
    const stream = sink.open(connection, watch)
    feed(stream)
    await expect.poll(() => watch.failures).toEqual([denied])
    expect(connection.released.length).toBe(chunks.length)
    expect(await stream.end()).toMatchObject({ bytes: 0, error: denied })
  })

  it('reports what the file system says only at close', async () => {
    const quota = Object.assign(new Error('EDQUOT: disk quota exceeded'), { code: 'EDQUOT' })
    const sink = await FileSink.create(directory, {
      ...plain,
      close: (fd, callback) => close(fd, () => callback(quota)),
    })
    const stream = sink.open(new FakeConnection(1), context())
    feed(stream)
    expect(await stream.end()).toMatchObject({ error: quota })
  })

  it('makes one missing directory, and refuses what it can’t write to', async () => {
    await FileSink.create(join(directory, 'new'))
    expect(readdirSync(directory)).toEqual(['new'])
    await expect(FileSink.create(join(directory, 'no', 'parent'))).rejects.toThrow(/can't write into/)
    await expect(FileSink.create('/proc/zcrx')).rejects.toThrow(/can't write into/)
  })
})
