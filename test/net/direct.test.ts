import { afterEach, describe, expect, it, vi } from 'vitest'
import { DirectTarget } from '../../uapi/kernel/direct.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { both, collector, until } from '../support/server-pair.ts'

const BYTES = 4_000_000

/** Bytes that a server receives, and of its completions those that came straight from a burst. */
async function received(): Promise<{ completions: number; direct: number }> {
  let direct = 0
  const post = DirectTarget.prototype.post
  vi.spyOn(DirectTarget.prototype, 'post').mockImplementation(function (this: DirectTarget, ...all) {
    const [, , rowOf, , from] = all
    const end = post.apply(this, all)
    for (let i = from; i < end; i++) if (rowOf[i]! >= 0) direct++
    return end
  })
  const got = collector(2)
  const { server, open, close } = await both({ handler: got.handler, areaBytes: 16 << 20 })
  got.use(server)
  const client = await open(2)
  const data = [bytesOf(BYTES, 1), bytesOf(BYTES, 2)]
  await Promise.all(
    data.map(async (bytes, flow) => {
      await client.send(flow, bytes)
      await client.end(flow)
    }),
  )
  await got.done
  for (const bytes of data) expect([1, 2].some((id) => Buffer.compare(got.bytes(id), bytes) === 0)).toBe(true)
  await until(() => server.census().user === 0)
  expect(server.census()).toMatchObject({ queued: 0, lost: 0 })
  const { completions } = server.stats()
  await close()
  return { completions, direct }
}

afterEach(() => vi.restoreAllMocks())

describe('completions of a server', () => {
  it('come straight from bursts', async () => {
    const { completions, direct } = await received()
    expect(direct / completions).toBeGreaterThan(0.8)
  })
})
