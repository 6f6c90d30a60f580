import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { RawPackage } from '../../../driver/raw/package.ts'
import { RawIpSocket } from '../../../driver/raw/socket.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
})

/** The package with a socket that does nothing. As the real one does, it closes at an error unless its listener is taken away. */
function fakePackage() {
  const listeners = new Map<string, (() => void)[]>()
  const seen: string[] = []
  const emit = (event: string): void => {
    for (const listener of listeners.get(event) ?? []) listener()
  }
  const socket = {
    wrap: {
      recv: () => {
        throw new Error('Resource temporarily unavailable')
      },
      send: () => {},
      on: (event: string, listener: () => void) =>
        listeners.set(event, [...(listeners.get(event) ?? []), listener]),
      removeAllListeners: (event: string) => listeners.delete(event),
    },
    setOption: () => {},
    getOption: (_level: number, option: number) => {
      seen.push(`option ${option}`)
      return 4
    },
    pauseRecv: () => seen.push('pause'),
    resumeRecv: () => seen.push('resume'),
    on: () => {},
    close: () => seen.push('close'),
  }
  socket.wrap.on('error', () => socket.close())
  const raw = { AddressFamily: { IPv4: 1, IPv6: 2 }, createSocket: () => socket }
  return { raw: raw as unknown as RawPackage, seen, emit }
}

test('an error does not end the watch: it is taken away, and the socket watched again', () => {
  const { raw, seen, emit } = fakePackage()
  const socket = new RawIpSocket(raw, 4, 6, '')
  let woken = 0
  socket.onReady = () => woken++
  socket.watch(true)
  seen.length = 0
  emit('error')
  expect([socket.ready, woken]).toEqual([true, 1])
  vi.advanceTimersByTime(0)
  // SO_ERROR
  expect(seen).toEqual(['option 4', 'pause', 'resume'])
})

test('an error that comes back at once is looked at less and less often, one behind packets at once', () => {
  const { raw, seen, emit } = fakePackage()
  const socket = new RawIpSocket(raw, 6, 6, '')
  socket.watch(true)
  const resumes = (): number => seen.filter((call) => call === 'resume').length
  const before = resumes()
  for (let waited = 0; waited < 10_000; waited += 1) {
    const count = resumes()
    vi.advanceTimersByTime(1)
    if (waited === 0 || resumes() > count) emit('error')
  }
  expect(resumes() - before).toBeLessThan(25)
  expect(resumes() - before).toBeGreaterThan(10)
  emit('recvReady')
  emit('error')
  const count = resumes()
  vi.advanceTimersByTime(1)
  expect(resumes()).toBe(count + 1)
  emit('error')
  socket.close()
  vi.advanceTimersByTime(10_000)
  expect(resumes()).toBe(count + 1)
})
