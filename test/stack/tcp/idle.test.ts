import { expect, it } from 'vitest'
import { StackPair } from '../../support/stack-pair.ts'

it('a thousand idle connections are left alone until the earliest keepalive', () => {
  const pair = new StackPair({ tcp: { keepIdleUs: 7_200_000_000 } })
  const listener = pair.server.tcp.listen(pair.serverAddress, 9000, 2000)!
  for (let i = 0; i < 1000; i++) {
    const [client, server] = pair.open(listener)
    for (const [stack, tcb] of [
      [pair.client, client],
      [pair.server, server],
    ] as const) {
      stack.tcp.setOptions(tcb, tcb.options.with({ keepAlive: true }), pair.clock.now())
    }
    pair.clock.advance(10)
  }
  const { clock } = pair
  const start = clock.now()
  let wakes = 0
  // Everything that is owed from the handshakes is over within seconds.
  while (clock.now() - start < 6_900_000_000 && pair.step()) if (clock.now() - start > 60_000_000) wakes++
  // Two stacks, and each has its neighbour to look after.
  expect(wakes).toBeLessThan(10)
  expect([...pair.server.tcp].length).toBe(1000)
})
