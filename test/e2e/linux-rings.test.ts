import { execFileSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { loadNative } from '../../driver/native/index.ts'
import * as abi from '../../uapi/abi/index.ts'
import { LinuxBackend } from '../../uapi/backend/linux/backend.ts'
import { LinuxHost } from '../../uapi/backend/linux/host.ts'
import type { RingsMemory } from '../../uapi/backend/linux/set-up.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { linuxRingsObstacle } from '../support/linux-rings.ts'

const DEFER = abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER
const FLAGS: readonly [string, number][] = [
  ['plain', 0],
  ['DEFER_TASKRUN', DEFER],
  ['DEFER_TASKRUN and CQE32', DEFER | abi.IORING_SETUP_CQE32],
  ['COOP_TASKRUN', abi.IORING_SETUP_COOP_TASKRUN],
  ['SQPOLL', abi.IORING_SETUP_SQPOLL],
]
const MEMORY: readonly RingsMemory[] = ['shared', 'kernel']
const WAYS = MEMORY.flatMap((memory) => FLAGS.map(([name, flags]) => [memory, name, flags] as const))

const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const rings: Ring[] = []
afterEach(() => {
  for (const ring of rings.splice(0)) ring.queueExit()
})

function ringOn(host: { ringBackend(): LinuxBackend }, flags = DEFER, entries = 8): Ring {
  const ring = Ring.queueInit(entries, host, { flags })
  rings.push(ring)
  return ring
}

/** `struct __kernel_timespec` in memory of the ring's. */
function timespec(ring: Ring, ms: number): Uint8Array {
  const bytes = ring.arena.take(16)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  view.setBigInt64(0, BigInt(Math.floor(ms / 1000)), true)
  view.setBigInt64(8, BigInt(Math.round((ms % 1000) * 1e6)), true)
  return bytes
}

/** The next completion, waited for by the event loop. */
async function come(ring: Ring): Promise<[number, number]> {
  do await new Promise<void>((resolve) => ring.arm(resolve))
  while (ring.peekCqe() === null)
  return next(ring)
}

/** The next completion, waited for in the kernel. */
function next(ring: Ring): [number, number] {
  const { userData, res } = ring.waitCqe()
  const pair: [number, number] = [userData, res]
  ring.cqAdvance(1)
  return pair
}

function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`)
      return /io_uring|eventfd/.test(link) ? [link] : []
    } catch {
      // The folder's own, closed by now.
      return []
    }
  })
}

/** Two ends of a TCP connection over loopback, as descriptors that belong to the test. */
function pairOn(ring: Ring): [number, number] {
  const native = loadNative()
  const sockaddr = new Uint8Array(16)
  sockaddr.set([2, 0, 0, 0, 127, 0, 0, 1])
  const listener = native.listenSocket(sockaddr, new Uint32Array(0), 8)
  expect(native.socketName(listener, false, sockaddr)).toBe(16)
  ring.getSqe()!.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0).setData(1)
  ring.submit()
  const [, client] = next(ring)
  const name = ring.arena.take(16)
  name.set(sockaddr)
  ring.getSqe()!.prepConnect(client, name).setData(2)
  ring.getSqe()!.prepAccept(listener).setData(3)
  ring.submit()
  const done = [next(ring), next(ring)].sort(([a], [b]) => a - b)
  expect(done[0]).toEqual([2, 0])
  native.close(listener)
  return [client, done[1]![1]]
}

describe.skipIf(linuxRingsObstacle !== '')('rings of Linux', () => {
  it.each(WAYS)('in %s memory, %s, complete, wait, and wake the event loop', async (memory, _, flags) => {
    const ring = ringOn(new LinuxHost({ memory }), flags)
    expect(ring.memory.control.buffer).toBeInstanceOf(memory === 'shared' ? SharedArrayBuffer : ArrayBuffer)
    for (let i = 0; i < 100; i++) {
      // A thread of the kernel’s may complete entries before it says that it has taken them.
      while (ring.sqSpaceLeft() < 8) expect(flags).toBe(abi.IORING_SETUP_SQPOLL)
      for (let j = 0; j < 8; j++)
        ring
          .getSqe()!
          .prepNop()
          .setData(8 * i + j)
      expect(ring.getSqe()).toBeNull()
      expect(ring.submitAndWait(8)).toBe(8)
      for (let j = 0; j < 8; j++) expect(next(ring)).toEqual([8 * i + j, 0])
    }
    const [ours, theirs] = pairOn(ring)
    const memoryOfOurs = new Uint8Array(100)
    const other = ringOn(new LinuxHost())
    // Each time something comes while the program sleeps, and once when it has come before it goes to sleep.
    for (let i = 0; i < 20; i++) {
      ring.getSqe()!.prepRecv(theirs, memoryOfOurs).setData(7)
      ring.submitAndGetEvents()
      expect(ring.peekCqe()).toBeNull()
      const send = (): void => {
        other
          .getSqe()!
          .prepSend(ours, Uint8Array.of(i, 2, 3))
          .setData(1)
        other.submitAndWait(1)
        other.cqAdvance(1)
      }
      if (i % 2 === 0) setImmediate(send)
      else send()
      expect(await come(ring)).toEqual([7, 3])
      expect([...memoryOfOurs.subarray(0, 3)]).toEqual([i, 2, 3])
    }
    for (const fd of [ours, theirs]) ring.getSqe()!.prepClose(fd).setData(9)
    ring.submit()
    expect([next(ring), next(ring)]).toEqual([
      [9, 0],
      [9, 0],
    ])
  })

  it.each(MEMORY)('in %s memory wait no longer than they are told', (memory) => {
    const ring = ringOn(new LinuxHost({ memory }))
    const start = performance.now()
    expect(ring.submitAndWaitTimeout(1, 12.5)).toBe(-abi.ETIME)
    expect(performance.now() - start).toBeGreaterThan(12)
    ring.getSqe()!.prepTimeout(timespec(ring, 3)).setData(4)
    expect(ring.submitAndWait(1)).toBe(1)
    expect(next(ring)).toEqual([4, -abi.ETIME])
  })

  it.each(MEMORY)(
    'in %s memory leave nothing behind when they are closed, or their thread is ended',
    async (memory) => {
      const before = descriptors().length
      for (let i = 0; i < 50; i++) ringOn(new LinuxHost({ memory })).queueExit()
      const ring = ringOn(new LinuxHost({ memory }))
      ring.arm(() => {})
      expect(descriptors().length).toBe(before + 3)
      ring.queueExit()
      expect(descriptors().length).toBe(before)
      expect(() => ring.submit()).toThrow('closed')
      const worker = new Worker(beside('../support/child.mjs'), {
        argv: [beside('../support/linux-ring-thread.ts'), memory],
      })
      await new Promise((resolve) => worker.once('message', resolve))
      // Its event loop has eventfds as well.
      expect(descriptors().length).toBeGreaterThan(before + 2)
      await worker.terminate()
      expect(descriptors().length).toBe(before)
    },
  )

  it('are set up on kernels that know less', () => {
    const native = loadNative()
    const asked: number[] = []
    // As Linux 6.1: neither NO_MMAP nor NO_SQARRAY.
    const older = new Proxy(native, {
      get: (target, name) => {
        if (name !== 'uringSetup') return Reflect.get(target, name)
        return (entries: number, params: Uint8Array) => {
          const { flags } = new abi.UringParams(params)
          asked.push(flags)
          const unknown = abi.IORING_SETUP_NO_MMAP | abi.IORING_SETUP_NO_SQARRAY
          return (flags & unknown) !== 0 ? -abi.EINVAL : target.uringSetup(entries, params)
        }
      },
    })
    const ring = ringOn({ ringBackend: () => new LinuxBackend(older, null) })
    expect(asked.length).toBe(3)
    for (let i = 0; i < 20; i++) {
      ring.getSqe()!.prepNop().setData(i)
      expect(ring.submitAndWait(1)).toBe(1)
      expect(next(ring)).toEqual([i, 0])
    }
  })

  it('say why they are not to be had', () => {
    for (const entries of [0, -1, 40_000, 2 ** 40, Number.NaN])
      expect(Ring.queueInitParams(entries, new LinuxHost()), String(entries)).toBe(-abi.EINVAL)
    const only = { flags: abi.IORING_SETUP_REGISTERED_FD_ONLY | abi.IORING_SETUP_NO_MMAP }
    expect(Ring.queueInitParams(8, new LinuxHost(), only)).toBe(-abi.EINVAL)
    const failing = (errno: number): { ringBackend(): LinuxBackend } => ({
      ringBackend: () => {
        const native = { uringSetup: () => -errno, addressOf: () => 4096 }
        return new LinuxBackend(native as never, null)
      },
    })
    expect(() => Ring.queueInit(8, failing(abi.ENOSYS))).toThrow(/has no io_uring.*: use Linux 6.1/)
    expect(() => Ring.queueInit(8, failing(abi.EPERM))).toThrow(/EPERM.*(seccomp|sysctl)/)
    expect(() => Ring.queueInit(8, failing(abi.ENOMEM))).toThrow(/locked: ulimit -l/)
    expect(() => Ring.queueInit(8, new LinuxHost(), { flags: 1 << 30 })).toThrow(/flags 0x40000000 on Linux/)
  })

  it('hold a buffer until the last completion that it is for', async () => {
    const ring = ringOn(new LinuxHost())
    const [ours, theirs] = pairOn(ring)
    let collected = false
    const registry = new FinalizationRegistry(() => {
      collected = true
    })
    const receive = (): void => {
      const buffer = new Uint8Array(1 << 20)
      registry.register(buffer, null)
      ring.getSqe()!.prepRecv(theirs, buffer).setData(5)
      ring.submit()
    }
    receive()
    expect(ring.pinned).toBe(1)
    for (let i = 0; i < 5; i++) {
      execFileSync('true')
      for (let j = 0; j < 20; j++) new Uint8Array(8 << 20).fill(j)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(collected).toBe(false)
    ring.getSqe()!.prepSend(ours, Uint8Array.of(1)).setData(6)
    ring.submit()
    expect([next(ring), next(ring)].sort(([a], [b]) => a - b)).toEqual([
      [5, 1],
      [6, 1],
    ])
    expect(ring.pinned).toBe(0)
    for (const fd of [ours, theirs]) ring.getSqe()!.prepClose(fd).setData(9)
    ring.submitAndWait(2)
  })

  it('do not take memory that can be cut short', () => {
    const ring = ringOn(new LinuxHost())
    const Resizable = ArrayBuffer as new (bytes: number, options: { maxByteLength: number }) => ArrayBuffer
    const resizable = new Uint8Array(new Resizable(64, { maxByteLength: 128 }))
    expect(() => ring.getSqe()!.prepRecv(0, resizable)).toThrow('moved or taken away')
    expect(ring.arena.reaches(resizable)).toBe(false)
  })

  it('serve a peer of node:net, and a ring of another thread can’t be entered', async () => {
    const ring = ringOn(new LinuxHost())
    const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const name = ring.arena.take(16)
    name.set([2, 0, port >> 8, port & 255, 127, 0, 0, 1])
    ring.getSqe()!.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0).setData(1)
    ring.submit()
    const [, fd] = next(ring)
    ring.getSqe()!.prepConnect(fd, name).setData(2)
    ring.submit()
    expect(next(ring)).toEqual([2, 0])
    const answer = ring.arena.take(5)
    ring.getSqe()!.prepSend(fd, new TextEncoder().encode('hello')).setData(3)
    ring.getSqe()!.prepRecv(fd, answer, abi.MSG_WAITALL).setData(4)
    ring.submit()
    expect([await come(ring), await come(ring)].sort(([a], [b]) => a - b)).toEqual([
      [3, 5],
      [4, 5],
    ])
    expect(new TextDecoder().decode(answer.slice())).toBe('hello')
    ring.getSqe()!.prepClose(fd).setData(5)
    ring.submitAndWait(1)
    server.close()
  })
})

if (linuxRingsObstacle !== '') it.skip(`rings of Linux: ${linuxRingsObstacle}`, () => {})
