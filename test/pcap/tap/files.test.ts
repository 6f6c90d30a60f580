import { execFileSync } from 'node:child_process'
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { MemoryLink } from '../../../driver/memory/index.ts'
import { ArgumentError, PcapError } from '../../../errors.ts'
import { type CaptureSink, MemorySink } from '../../../pcap/file/writer.ts'
import { CaptureNic, type CaptureNicOptions, checkCapture } from '../../../pcap/tap/index.ts'
import { VirtualClock } from '../../../stack/clock.ts'
import { capinfos, noCaptureTools } from '../../support/capture-tools.ts'
import { bytesOf } from '../../support/ring-pair.ts'
import { drain, StackPair } from '../../support/stack-pair.ts'
import { captureDirectory } from '../../support/tshark.ts'
import { frameOf, packetsOf, recorded, statisticsOf } from './support.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.log(`skipped: what Wireshark says of captures (${missing})`)
const directory = captureDirectory()
afterAll(() => directory.remove())

/** A NIC that only sends, frames of `length` bytes. */
function sending(options: CaptureNicOptions): {
  nic: CaptureNic
  send: (length: number, count?: number) => void
} {
  const nic = new CaptureNic(new MemoryLink({ queueFrames: 100_000 }).a, options)
  const send = (length: number, count = 1): void => {
    for (let i = 0; i < count; i++) {
      const slot = nic.txReserve()
      nic.txMemory.fill(0x88, slot, slot + length)
      nic.txCommit(slot, length)
    }
    nic.txFlush()
  }
  return { nic, send }
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length

describe('snapLength', () => {
  it('cuts frames, also in the middle of a piece, and keeps their length', async () => {
    const sink = new MemorySink()
    let nic: CaptureNic | undefined
    const pair = new StackPair({
      mtu: 9000,
      wrap: (inner, clock) => {
        nic = new CaptureNic(inner, { file: sink, clock, snapLength: 4000 })
        return nic
      },
    })
    const received = recorded(pair.link.aToB)
    const [client, server] = pair.open()
    pair.client.tcp.send(client, bytesOf(40_000), 0, pair.clock.now())
    pair.runUntil(() => server.rcv.queuedBytes === 40_000)
    expect(drain(pair.server, server)).toEqual(bytesOf(40_000))
    nic!.close()
    const inbound = (await packetsOf(sink.bytes())).filter((packet) => packet.direction === 1)
    expect(inbound.map((packet) => packet.wireLength)).toEqual(received.map((frame) => frame.length))
    expect(inbound.map((packet) => packet.length)).toEqual(
      received.map((frame) => Math.min(4000, frame.length)),
    )
    expect(inbound.some((packet) => packet.length === 4000)).toBe(true)
    for (const [i, packet] of inbound.entries())
      expect(Buffer.compare(frameOf(packet), received[i]!.subarray(0, 4000))).toBe(0)
  })

  it.each([0, -1, 1.5])('can not be %d', (snapLength) => {
    expect(() => sending({ file: new MemorySink(), snapLength })).toThrow(ArgumentError)
  })
})

describe('several files', () => {
  it('are no larger than asked, complete, and together everything', async () => {
    const file = join(directory.path, 'ring.pcapng')
    const { nic, send } = sending({ file, fileBytes: 8192, clock: new VirtualClock(5_000_000) })
    send(500, 40)
    send(1000, 20)
    nic.close()
    expect(nic.files).toEqual(
      nic.files.map((_, i) => join(directory.path, `ring_${String(i + 1).padStart(5, '0')}.pcapng`)),
    )
    expect(nic.files.length).toBeGreaterThan(4)
    let frames = 0
    for (const [i, path] of nic.files.entries()) {
      expect(statSync(path).size).toBeLessThanOrEqual(8192)
      if (i < nic.files.length - 1) expect(statSync(path).size).toBeGreaterThan(6500)
      frames += (await packetsOf(path)).length
      const last = i === nic.files.length - 1
      expect(statisticsOf(readFileSync(path)).map(({ ended }) => ended)).toEqual([last])
      if (missing === undefined) expect(capinfos(path)['Number of interfaces in file']).toBe('1')
    }
    expect(frames).toBe(60)
    expect(existsSync(file)).toBe(false)
  })

  it('are as many as asked: the oldest go', () => {
    const file = join(directory.path, 'bounded.v1.pcapng')
    const { nic, send } = sending({ file, fileBytes: 4096, files: 2 })
    const descriptors = openDescriptors()
    send(1000, 10)
    // Somebody may have moved one away meanwhile.
    unlinkSync(nic.files[0]!)
    send(1000, 10)
    expect(openDescriptors()).toBe(descriptors)
    nic.close()
    expect(openDescriptors()).toBe(descriptors - 1)
    const left = readdirSync(directory.path).filter((name) => name.startsWith('bounded'))
    expect(left).toEqual(['bounded.v1_00006.pcapng', 'bounded.v1_00007.pcapng'])
    expect(nic.files).toEqual(left.map((name) => join(directory.path, name)))
    expect(nic.captured.sent).toBe(20)
  })

  it('take a packet that is larger than a file', async () => {
    const file = join(directory.path, 'large.pcapng')
    const nic = new CaptureNic(new MemoryLink({ mtu: 65_535 }).a, { file, fileBytes: 4096 })
    nic.txCommit(nic.txReserve(), 60_000)
    nic.txCommit(nic.txReserve(), 60_000)
    nic.close()
    expect(nic.files).toHaveLength(2)
    for (const path of nic.files) expect(await packetsOf(path)).toHaveLength(1)
  })

  it.each<[string, Partial<CaptureNicOptions>]>([
    ['files without a size', { files: 3 }],
    ['a size that holds nothing', { fileBytes: 4095 }],
    ['no file', { fileBytes: 4096, files: 0 }],
    ['a size of a sink', { file: new MemorySink(), fileBytes: 4096 }],
    ['no name', { file: '' }],
    ['an epoch without a clock', { epoch: 5 }],
    ['an epoch that is no time', { clock: new VirtualClock(), epoch: -1 }],
  ])('refuse %s', (_what, options) => {
    expect(() => sending({ file: join(directory.path, 'refused.pcapng'), ...options })).toThrow(ArgumentError)
    expect(readdirSync(directory.path)).not.toContain('refused.pcapng')
  })
})

describe('a disk that fails', () => {
  /** Takes `room` bytes. */
  class FullSink extends MemorySink implements CaptureSink {
    closed = 0
    #room: number
    constructor(room: number) {
      super()
      this.#room = room
    }
    override write(bytes: Uint8Array): void {
      if (bytes.length > this.#room) {
        this.#room = 0
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      }
      this.#room -= bytes.length
      super.write(bytes)
    }
    close(): void {
      this.closed++
    }
  }

  it('ends the capture, is told once, and frames go on', async () => {
    const sink = new FullSink(20_000)
    const errors: PcapError[] = []
    let nic: CaptureNic | undefined
    const pair = new StackPair({
      wrap: (inner, clock) => {
        nic = new CaptureNic(inner, { file: sink, clock, onError: (error) => errors.push(error) })
        return nic
      },
    })
    const [client, server] = pair.open()
    pair.client.tcp.send(client, bytesOf(60_000), 0, pair.clock.now())
    expect(pair.runUntil(() => server.rcv.queuedBytes === 60_000)).toBe(true)
    expect(drain(pair.server, server)).toEqual(bytesOf(60_000))
    const { captured, missed, failed } = nic!
    const { rxFrames, txFrames } = nic!.stats()
    expect(captured.received + captured.sent + missed).toBe(rxFrames + txFrames)
    expect(await packetsOf(sink.bytes())).toHaveLength(captured.received + captured.sent)
    expect(missed).toBeGreaterThan(1)
    expect(failed).toMatchObject({ code: 'PCAP_IO', message: expect.stringContaining('ENOSPC') })
    await Promise.resolve()
    expect(errors).toEqual([failed])
    expect(sink.closed).toBe(1)
    nic!.close()
    expect(sink.closed).toBe(1)
    expect(process.listeners('exit').filter(({ name }) => name === 'closeAll')).toEqual([])
  })

  it('is one that has no room for the next file too', () => {
    const file = join(directory.path, 'blocked.pcapng')
    mkdirSync(join(directory.path, 'blocked_00002.pcapng'))
    const { nic, send } = sending({ file, fileBytes: 4096 })
    send(1000, 10)
    expect(nic.failed?.message).toContain('EISDIR')
    expect(nic.captured.sent + nic.missed).toBe(10)
    expect(nic.stats().txFrames).toBe(10)
    nic.close()
    expect(statisticsOf(readFileSync(nic.files[0]!))).toHaveLength(1)
  })

  it('is told at once when there is no file to begin with', () => {
    const descriptors = openDescriptors()
    for (const [file, message] of [
      [join(directory.path, 'missing', 'x.pcapng'), /ENOENT.*create its directory first/],
      [directory.path, /EISDIR.*name a file/],
      ['/dev/full', /ENOSPC.*make room/],
    ] as const) {
      expect(() => sending({ file })).toThrow(message)
      expect(() => sending({ file })).toThrow(PcapError)
      if (file !== '/dev/full') expect(() => checkCapture({ file })).toThrow(message)
    }
    expect(openDescriptors()).toBe(descriptors)
    expect(process.listeners('exit').filter(({ name }) => name === 'closeAll')).toEqual([])
  })
})

describe('checkCapture', () => {
  it('leaves nothing behind, and what was there as it was', () => {
    const file = join(directory.path, 'check.pcapng')
    checkCapture({ file })
    expect(existsSync(file)).toBe(false)
    writeFileSync(file, 'kept')
    checkCapture({ file })
    expect(readFileSync(file, 'utf8')).toBe('kept')
    checkCapture({ file, fileBytes: 4096 })
    expect(readdirSync(directory.path)).not.toContain('check_00001.pcapng')
    checkCapture({ file: new MemorySink() })
    expect(() => checkCapture({ file, files: 1 })).toThrow(ArgumentError)
  })
})

it('close ends the capture and the NIC, once', async () => {
  const sink = new MemorySink()
  const { nic, send } = sending({ file: sink })
  send(60)
  nic.close()
  nic.close()
  send(60)
  nic.settled(0, 1, null)
  expect([nic.captured.sent, (await packetsOf(sink.bytes())).length]).toEqual([1, 1])
})

describe('what has the name already', () => {
  it('is emptied if it is a file of ours, and nobody else reads it from then on', () => {
    const file = join(directory.path, 'ours.pcapng')
    writeFileSync(file, 'x'.repeat(10_000), { mode: 0o644 })
    const { nic } = sending({ file })
    nic.close()
    expect(statSync(file).size).toBeLessThan(1000)
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it.each(['symbolic link', 'hard link', 'file of another user', 'FIFO that nobody reads'] as const)(
    'is left alone if it is a %s',
    (what) => {
      if (what === 'file of another user' && process.getuid?.() !== 0) {
        console.warn('files of others are not tried: not root')
        return
      }
      const victim = join(directory.path, `victim of a ${what}`)
      const file = join(directory.path, `${what}.pcapng`)
      writeFileSync(victim, 'precious')
      if (what === 'symbolic link') symlinkSync(victim, file)
      else if (what === 'hard link') linkSync(victim, file)
      else if (what === 'file of another user') {
        renameSync(victim, file)
        chownSync(file, 65_534, 65_534)
      } else execFileSync('mkfifo', [file])
      const descriptors = openDescriptors()
      for (const attempt of [() => checkCapture({ file }), () => sending({ file })]) {
        expect(attempt).toThrow(PcapError)
        expect(attempt).toThrow(/can't be created: .*(not followed|other names|not ours|start what reads it)/)
      }
      if (what !== 'FIFO that nobody reads')
        expect(readFileSync(what === 'file of another user' ? file : victim, 'utf8')).toBe('precious')
      expect(openDescriptors()).toBe(descriptors)
    },
  )

  it('is no file of a ring if it is a link: the capture ends, frames go on', () => {
    const victim = join(directory.path, 'victim')
    writeFileSync(victim, 'precious')
    symlinkSync(victim, join(directory.path, 'linked_00002.pcapng'))
    const { nic, send } = sending({ file: join(directory.path, 'linked.pcapng'), fileBytes: 4096 })
    for (let i = 0; i < 10; i++) send(1000)
    expect(nic.failed?.message).toContain('ELOOP')
    expect(nic.stats().txFrames).toBe(10)
    nic.close()
    expect(readFileSync(victim, 'utf8')).toBe('precious')
  })

  it('does not keep a process waiting if it is a FIFO whose reader stops', () => {
    const file = join(directory.path, 'fifo.pcapng')
    execFileSync('mkfifo', [file])
    const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const { nic, send } = sending({ file })
    for (let i = 0; i < 2000 && nic.failed === null; i++) {
      send(1000)
      nic.txFlush()
    }
    expect(nic.failed?.message).toContain('EAGAIN')
    nic.close()
    closeSync(reader)
  })
})

it('files are only their owner’s, unless told otherwise', () => {
  const umask = process.umask(0)
  try {
    const modes = [undefined, 0o664].map((mode, i) => {
      process.umask(i === 0 ? 0 : 0o077)
      const file = join(directory.path, `mode${i}.pcapng`)
      sending({ file, ...(mode === undefined ? {} : { mode }) }).nic.close()
      return statSync(file).mode & 0o777
    })
    expect(modes).toEqual([0o600, 0o664])
    expect(() => sending({ file: join(directory.path, 'x'), mode: 0o1777 })).toThrow(ArgumentError)
  } finally {
    process.umask(umask)
  }
})
