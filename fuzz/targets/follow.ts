import { PcapError } from '../../errors.ts'
import { type FollowResult, follow } from '../../pcap/follow/follow.ts'
import type { Target } from '../fuzzer.ts'
import { dictionary, sampleFiles, smallCaptures } from './seeds.ts'

const LARGEST_SEED = 6000
/** Little, so that it has to be managed. */
const HELD_BYTES = 2000

/** What is handed out is what is reported, and a capture gives the same twice. */
export const followed: Target = {
  name: 'follow',
  run: async (bytes) => {
    const handed = new Map<string, number>()
    let result: FollowResult
    try {
      result = await follow(bytes, {
        heldBytes: HELD_BYTES,
        onData: ({ stream, direction }, data, at, length) => {
          if (at < 0 || length <= 0 || at + length > data.length)
            throw new Error(`${at}, ${length} of ${data.length}`)
          const key = `${stream} ${direction}`
          handed.set(key, (handed.get(key) ?? 0) + length)
        },
      })
    } catch (error) {
      if (error instanceof PcapError) return
      throw error
    }
    for (const { stream, direction, bytes: reported, missingBytes } of result.streams) {
      const got = handed.get(`${stream} ${direction}`) ?? 0
      if (got !== reported || missingBytes < 0)
        throw new Error(`${got} bytes handed out, ${reported} reported`)
    }
  },
  seeds: () => [...smallCaptures().map((capture) => capture.pcapng()), ...sampleFiles(LARGEST_SEED)],
  dictionary,
  longest: 6000,
}
