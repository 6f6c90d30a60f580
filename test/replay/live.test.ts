import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CaptureNic, MemorySink } from '../../pcap/index.ts'
import { replay } from '../../replay/index.ts'
import { runs } from '../support/long.ts'
import { drain, StackPair } from '../support/stack-pair.ts'

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function patterned(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed + (i >>> 8)) & 0xff)
}

const impairments = fc.record({
  loss: fc.constantFrom(0, 0.02, 0.1),
  duplicate: fc.constantFrom(0, 0.1),
  reorder: fc.constantFrom(0, 0.2),
  corrupt: fc.constantFrom(0, 0.05),
  delayUs: fc.constantFrom(0, 500),
})

describe('what a running stack has captured of itself', () => {
  it('is replayed to the bytes that were sent, whatever the path did to the frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(0x7fff_ffff),
          version: fc.constantFrom<4 | 6>(4, 6),
          impairments,
          forth: fc.nat(60_000),
          back: fc.nat(60_000),
          timestamps: fc.boolean(),
          sack: fc.boolean(),
        }),
        async ({ seed, version, impairments: path, forth, back, timestamps, sack }) => {
          const sink = new MemorySink()
          const pair = new StackPair({
            seed,
            version,
            tcp: { timestamps, sack },
            wrap: (nic, clock) => new CaptureNic(nic, { file: sink, clock }),
          })
          const [client, server] = pair.open()
          pair.link.aToB.impairments = path
          pair.link.bToA.impairments = path
          const bytes = { client: patterned(forth, 1), server: patterned(back, 2) }
          const sent = { client: 0, server: 0 }
          const received = { client: 0, server: 0 }
          const ended = { client: false, server: false }
          const done = pair.runUntil(() => {
            const now = pair.clock.now()
            for (const [side, stack, tcb] of [
              ['client', pair.client, client],
              ['server', pair.server, server],
            ] as const) {
              if (sent[side] < bytes[side].length)
                sent[side] += stack.tcp.send(tcb, bytes[side], sent[side], now)
              else if (!ended[side]) {
                ended[side] = true
                stack.tcp.shutdownSend(tcb, now)
              }
              received[side] += drain(stack, tcb).length
              stack.kick()
            }
            return (
              received.client === back &&
              received.server === forth &&
              server.rcv.finished &&
              client.rcv.finished
            )
          })
          expect(done).toBe(true)
          // The last acknowledgements.
          for (let i = 0; i < 50; i++) pair.step()
          pair.server.nic.close()
          const run = await replay(sink.bytes(), { areaBytes: 4 << 20 })
          // Damaged ports and numbers make conversations of their own; the last one between the ends is the real one.
          for (const direction of ['client', 'server'] as const) {
            const stream = run.streams.findLast(
              (one) =>
                one.direction === direction &&
                one.skipped === null &&
                one.client.endsWith(`:${client.localPort}`) &&
                one.server.endsWith(':9000'),
            )
            expect(stream, direction).toMatchObject({ sha256: sha256(bytes[direction]), gaps: 0, end: 'fin' })
          }
          expect(run.summary.niovs.lost).toBe(0)
          expect(run.summary.unplayable).toBe(0)
        },
      ),
      { numRuns: runs(60) },
    )
  }, 120_000)
})
