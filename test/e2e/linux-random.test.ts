import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import * as zcrx from '../../index.ts'
import { linuxRingsObstacle } from '../support/linux-rings.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** mulberry32. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** The byte at a place of a stream. */
const byteAt = (stream: number, at: number): number => (stream * 31 + at * 7 + (at >>> 8)) & 0xff

function bytesOf(stream: number, from: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => byteAt(stream, from + i))
}

const SEEDS = [1, 2, 3, Math.trunc(Math.random() * 1e9)]

describe.skipIf(linuxRingsObstacle !== '')('many streams at once on the machine’s own stack', () => {
  it.each(SEEDS)('come back byte by byte, seed %i', async (seed) => {
    const random = randomOf(seed)
    const bufferBytes = 4096 << random(3)
    const buffers = 1 + random(24)
    const kept: [zcrx.Connection, number][] = []
    let ended = 0
    let settling = false
    const server = await zcrx.createServer({
      device: 'linux:',
      port: 0,
      listenOn: '127.0.0.1',
      areaBytes: bufferBytes * buffers,
      bufferBytes,
      cqEntries: 256,
      handler: {
        onData(connection, offset, length) {
          for (let at = 0; at < length; ) {
            const piece = Math.min(length - at, 1 + random(random(2) === 0 ? 600 : 5000))
            connection.send(server.area.slice(offset + at, offset + at + piece))
            at += piece
          }
          if (settling || random(3) > 0) return true
          kept.push([connection, offset])
          // From a callback of whatever connection, from a timer, or with the others.
          if (random(2) === 0) return false
          const [owner, at] = kept.splice(random(kept.length), 1)[0]!
          if (random(2) === 0) owner.release(at)
          else setTimeout(() => owner.release(at), random(5))
          return false
        },
        onEnd(connection, errno) {
          ended++
          if (errno === 0) connection.end()
          connection.close()
        },
      },
    })
    ends.push(() => server.close())
    const letGo = setInterval(() => {
      for (const [owner, at] of kept.splice(0)) owner.release(at)
    }, 3)
    ends.push(() => clearInterval(letGo))
    let accepted = 0
    async function stream(number: number): Promise<void> {
      const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
      await once(socket, 'connect')
      accepted++
      const total = random(4) === 0 ? random(400_000) : random(4000)
      const resets = random(8) === 0
      let got = 0
      let wrong = -1
      socket.on('error', () => {})
      socket.on('data', (data) => {
        for (const byte of data) if (byte !== byteAt(number, got++) && wrong < 0) wrong = got - 1
        if (random(20) > 0) return
        socket.pause()
        setTimeout(() => socket.resume(), random(10))
      })
      for (let sent = 0; sent < total; ) {
        const length = Math.min(total - sent, 1 + random(20_000))
        socket.write(bytesOf(number, sent, length))
        sent += length
        if (random(4) === 0) await sleep(random(3))
        if (resets && random(3) === 0) {
          socket.resetAndDestroy()
          return
        }
      }
      socket.end()
      await once(socket, 'end')
      expect([number, wrong, got]).toEqual([number, -1, total])
      socket.destroy()
    }
    let next = 0
    async function streams(): Promise<void> {
      while (next < 150) await stream(++next)
    }
    await Promise.all(Array.from({ length: 40 }, streams))
    settling = true
    while (server.openConnections > 0 || ended < accepted) await sleep(1)
    while (server.census().user > 0) await sleep(1)
    expect(server.census()).toMatchObject({ total: buffers, fill: buffers, user: 0 })
    expect(server.connectionCensus()).toMatchObject({ accepted: 150, closed: 150, lost: 0 })
  })
})

if (linuxRingsObstacle !== '') it.skip(`streams on rings of Linux: ${linuxRingsObstacle}`, () => {})
