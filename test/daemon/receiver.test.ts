/** Every way in which a connection can end, with the stack under it: nothing of it stays. */
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { Receiver } from '../../daemon/run/receiver.ts'
import { DiscardSink } from '../../daemon/sinks/memory.ts'
import type { Sink, SinkResult, StreamContext } from '../../daemon/sinks/sink.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { type Both, both, turn, until } from '../support/server-pair.ts'

const log = pino({ level: 'silent' })
const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })

/** A sink that stores nothing, and says so when `fails` tells. */
class BrokenSink implements Sink {
  readonly name = 'broken'
  readonly #fails: 'at data' | 'at end'

  constructor(fails: 'at data' | 'at end') {
    this.#fails = fails
  }

  open(_connection: unknown, { failed }: StreamContext): ReturnType<Sink['open']> {
    let broken = false
    return {
      data: () => {
        if (this.#fails === 'at data' && !broken) failed(full)
        broken = true
        return true
      },
      end: (): Promise<SinkResult> => Promise.resolve({ bytes: 0, error: full }),
    }
  }
}

async function receiving(sink: Sink): Promise<{ receiver: Receiver; pair: Both }> {
  const receiver = new Receiver(sink, log)
  const pair = await both({ handler: receiver })
  receiver.attach(pair.server)
  return { receiver, pair }
}

const CENSUS = { open: 0, ended: 0, closing: 0, lost: 0 }

describe('a connection that ended', () => {
  it('by a reset is given back, many times', async () => {
    const { receiver, pair } = await receiving(new DiscardSink())
    for (let i = 1; i <= 20; i++) {
      const client = await pair.open()
      await client.send(0, bytesOf(10))
      await until(() => receiver.receivedBytes === 10 * i)
      for (let j = 0; j < 5; j++) await turn()
      pair.reset()
      await until(() => receiver.totals.connections === i)
    }
    expect(receiver.totals).toMatchObject({ broken: 20, cut: 20, sinkFailures: 0 })
    expect(receiver.openConnections).toBe(0)
    expect(pair.server.connectionCensus()).toEqual({ ...CENSUS, accepted: 20, closed: 20 })
    await pair.close()
  })

  it.each([
    ['by the peer’s FIN', new DiscardSink(), 'closed', { cut: 0, broken: 0, sinkFailures: 0 }],
    ['with a sink that failed', new BrokenSink('at data'), 'sink failed', { cut: 1, sinkFailures: 1 }],
    [
      'with a sink that failed at its end',
      new BrokenSink('at end'),
      'sink failed',
      { cut: 1, sinkFailures: 1 },
    ],
  ] as const)('%s is given back', async (_name, sink, end, totals) => {
    const { receiver, pair } = await receiving(sink)
    const client = await pair.open()
    await client.send(0, bytesOf(100_000)).catch(() => {})
    await client.end(0).catch(() => {})
    await until(() => receiver.totals.connections === 1)
    for (let i = 0; i < 3; i++) await turn()
    expect(receiver.records[0]).toMatchObject({ end })
    expect(receiver.totals).toMatchObject(totals)
    expect(pair.server.connectionCensus()).toEqual({ ...CENSUS, accepted: 1, closed: 1 })
    expect(pair.server.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
    await pair.close()
  })

  it('by our stop is reset: its peer is not told that all is well', async () => {
    const { receiver, pair } = await receiving(new DiscardSink())
    const client = await pair.open()
    await client.send(0, bytesOf(10_000))
    await until(() => receiver.receivedBytes === 10_000)
    await receiver.stop()
    for (let i = 0; i < 3; i++) await turn()
    expect(receiver.totals).toMatchObject({ connections: 1, cut: 1, broken: 0 })
    expect(pair.server.connectionCensus()).toEqual({ ...CENSUS, accepted: 1, closed: 1 })
    await expect(
      (async () => {
        for (let i = 0; i < 50; i++) await client.send(0, bytesOf(100_000))
      })(),
    ).rejects.toThrow(/ECONNRESET|EPIPE/)
    await pair.close()
  })
})
