import { createHash, randomBytes } from 'node:crypto'
import {
  createWriteStream,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { createGzip, gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FileOperations, SYSTEM } from '../../sinks/operations.ts'
import { FileWriter, toFile } from '../../sinks/to-file.ts'
import { toHash } from '../../sinks/to-hash.ts'
import { toWritable } from '../../sinks/to-writable.ts'
import { type Connected, connected } from '../support/connected.ts'
import { until } from '../support/server-pair.ts'

let pair: Connected
let folder: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zcrx-sinks-'))
  pair = await connected()
})
afterEach(async () => {
  await pair.close()
  rmSync(folder, { recursive: true })
})

const data = randomBytes(1_500_000)

/** Sends `data`, and ends in order or by a reset. */
async function sending(reset = false): Promise<Awaited<ReturnType<Connected['open']>>['there']> {
  const { near, there } = await pair.open()
  void near.send(data).then(
    () => (reset ? until(() => there.bytesReceived === data.length).then(() => near.reset()) : near.close()),
    () => {},
  )
  return there
}

async function nothingHeld(): Promise<void> {
  await until(() => pair.server.census().user === 0)
  expect(pair.server.census().lost).toBe(0)
}

describe('toFile', () => {
  it('writes what came, and gives it its name when it is whole', async () => {
    const path = join(folder, 'in.bin')
    const writing = toFile(await sending(), path)
    expect(existsSync(path)).toBe(false)
    expect(await writing).toEqual({ path, bytes: data.length })
    expect(Buffer.compare(readFileSync(path), data)).toBe(0)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(existsSync(`${path}.part`)).toBe(false)
    expect(pair.server.stats().copiedBytes).toBe(0)
    await nothingHeld()
  })

  it('leaves what was cut as a part, and says how the stream ended', async () => {
    const path = join(folder, 'in.bin')
    await expect(toFile(await sending(true), path)).rejects.toMatchObject({
      code: 'ECONNRESET',
      syscall: 'read',
    })
    expect(existsSync(path)).toBe(false)
    expect(statSync(`${path}.part`).size).toBeGreaterThan(0)
    await nothingHeld()
  })

  it('replaces nothing, unless it is told to', async () => {
    const path = join(folder, 'in.bin')
    writeFileSync(path, 'precious')
    await expect(toFile(await sending(), path)).rejects.toMatchObject({
      name: 'SinkError',
      code: 'EEXIST',
      bytes: 0,
    })
    expect(readFileSync(path, 'utf8')).toBe('precious')
    await toFile(await sending(), path, { overwrite: true, fsync: 5, mode: 0o640 })
    expect(Buffer.compare(readFileSync(path), data)).toBe(0)
    const direct = join(folder, 'direct.bin')
    await toFile(await sending(), direct, { rename: false, fsync: 'none' })
    expect(statSync(direct).size).toBe(data.length)
    await nothingHeld()
  })

  it('resets the connection when the disk is full, and says what is stored', async () => {
    const files: FileOperations = {
      ...SYSTEM,
      writev: (fd, buffers, position, callback) => {
        if (position < 100_000) SYSTEM.writev(fd, buffers.slice(0, 3), position, callback)
        else callback(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' }), 0)
      },
    }
    const path = join(folder, 'in.bin')
    const failed = new FileWriter(path, {}, files).run(await sending())
    await expect(failed).rejects.toMatchObject({ code: 'ENOSPC', path: `${path}.part` })
    const { bytes } = (await failed.catch((error: unknown) => error)) as { bytes: number }
    expect(Buffer.compare(readFileSync(`${path}.part`), data.subarray(0, bytes))).toBe(0)
    await nothingHeld()
    await expect(toFile(await sending(), join(folder, 'no', 'such'))).rejects.toMatchObject({
      code: 'ENOENT',
    })
  })

  it('is given up by its signal', async () => {
    const { near, there } = await pair.open()
    const abort = new AbortController()
    const path = join(folder, 'in.bin')
    const writing = toFile(there, path, { signal: abort.signal })
    void near.send(data)
    await until(() => there.bytesReceived === data.length)
    abort.abort()
    await expect(writing).rejects.toMatchObject({ code: 'ABORT_ERR' })
    await nothingHeld()
  })
})

describe('toHash', () => {
  it('hashes where the bytes lie', async () => {
    const digest = createHash('sha1').update(data).digest('hex')
    expect(await toHash(await sending(), 'sha1')).toEqual({ bytes: data.length, digest })
    await expect(toHash(await sending(true))).rejects.toMatchObject({ code: 'ECONNRESET' })
    await nothingHeld()
  })
})

describe('toWritable', () => {
  it('writes into streams that are done with a chunk when they call back', async () => {
    const path = join(folder, 'in.gz')
    const zip = createGzip()
    zip.pipe(createWriteStream(path))
    expect(await toWritable(await sending(), zip)).toEqual({ bytes: data.length })
    await until(() => existsSync(path) && statSync(path).size > data.length / 2)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(Buffer.compare(gunzipSync(readFileSync(path)), data)).toBe(0)
    const plain = createWriteStream(join(folder, 'plain'))
    await toWritable(await sending(), plain, { end: false })
    expect(plain.writableEnded).toBe(false)
    plain.end()
    expect(pair.server.stats().copiedBytes).toBe(0)
    await nothingHeld()
  })

  it('ends both when either fails', async () => {
    const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('full')) })
    const there = await sending()
    await expect(toWritable(there, broken)).rejects.toMatchObject({ name: 'SinkError', message: 'full' })
    await there.closed
    const fine = new Writable({ write: (_chunk, _encoding, done) => done() })
    await expect(toWritable(await sending(true), fine)).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(fine.destroyed).toBe(true)
    await nothingHeld()
  })
})

describe('a sink', () => {
  it('ends when its writable does, whatever that does not call back for', async () => {
    const { near, there } = await pair.open()
    const deaf = new Writable({ write: () => {} })
    const writing = toWritable(there, deaf)
    await near.send(randomBytes(1000))
    await until(() => there.bytesReceived === 1000)
    deaf.destroy(new Error('gone'))
    await expect(writing).rejects.toMatchObject({ name: 'SinkError', message: 'gone' })
    const late = new Writable({
      write: (_chunk, _encoding, done) => done(),
      final: () => void late.destroy(),
    })
    await expect(toWritable(await sending(), late)).rejects.toMatchObject({ name: 'SinkError' })
    await nothingHeld()
  })

  it('closes the connection of a hash that is not known', async () => {
    const there = await sending()
    await expect(toHash(there, 'no-such-hash')).rejects.toThrow()
    await there.closed
  })
})
