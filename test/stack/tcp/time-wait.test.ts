import { expect, it } from 'vitest'
import { FIN_WAIT_2, TIME_WAIT } from '../../../stack/tcp/state.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'
import { StackPair } from '../../support/stack-pair.ts'

/** Connections that the server closes first, so that they stay with it in TIME-WAIT. */
function closeSome(pair: StackPair, count: number): Tcb[] {
  const listener = pair.server.tcp.listen(pair.serverAddress, 9000, 16)!
  return Array.from({ length: count }, () => {
    const [client, server] = pair.open(listener)
    pair.server.tcp.close(server, pair.clock.now())
    pair.settle()
    pair.client.tcp.close(client, pair.clock.now())
    expect(pair.runUntil(() => server.state === TIME_WAIT, 1_000_000)).toBe(true)
    return server
  })
}

it('what we close keeps nobody out: TIME-WAIT does not count as a connection', () => {
  const pair = new StackPair({ tcp: { maxConnections: 4 } })
  closeSome(pair, 20)
  expect([pair.server.tcp.connections, pair.server.tcp.living]).toEqual([20, 0])
  expect(pair.server.counters.dropBacklog).toBe(0)
})

it('TIME-WAIT has a bound of its own: the oldest go first, and are counted', () => {
  const pair = new StackPair({ tcp: { maxTimeWait: 5 } })
  const closed = closeSome(pair, 8)
  expect(pair.server.counters.timeWaitOverflow).toBe(3)
  const waiting = closed.map(({ state }) => state === TIME_WAIT)
  expect(waiting).toEqual([false, false, false, true, true, true, true, true])
  expect([...pair.server.tcp]).toHaveLength(5)
  // All of them end, and nothing is left of them.
  pair.clock.advance(61_000_000)
  pair.settle()
  expect([pair.server.tcp.connections, pair.server.tcp.timeWait.count]).toEqual([0, 0])
})

it('a connection in TIME-WAIT that a SYN takes over is one no more', () => {
  const pair = new StackPair()
  const [first] = closeSome(pair, 1)
  // A later initial number.
  pair.clock.advance(10_000)
  const again = pair.client.tcp.connect(
    pair.clientAddress,
    first!.remotePort,
    pair.serverAddress,
    9000,
    pair.clock.now(),
  )
  expect(again).not.toBeNull()
  pair.settle()
  expect([pair.server.tcp.timeWait.count, pair.server.tcp.living]).toEqual([0, 1])
})

it('peers that never send their FIN keep nobody out either', () => {
  const pair = new StackPair({ tcp: { maxConnections: 4, maxTimeWait: 5 } })
  const listener = pair.server.tcp.listen(pair.serverAddress, 9000, 16)!
  for (let i = 0; i < 8; i++) {
    const [, server] = pair.open(listener)
    pair.server.tcp.close(server, pair.clock.now())
    expect(pair.runUntil(() => server.state === FIN_WAIT_2, 1_000_000)).toBe(true)
  }
  expect([pair.server.tcp.connections, pair.server.tcp.living]).toEqual([5, 0])
  expect(pair.server.counters.timeWaitOverflow).toBe(3)
})
