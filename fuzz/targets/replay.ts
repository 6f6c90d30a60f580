import { PcapError } from '../../errors.ts'
import { type ReplayResult, replay as replayCapture } from '../../replay/index.ts'
import type { Target } from '../fuzzer.ts'
import { dictionary, sampleFiles, smallCaptures } from './seeds.ts'

const LARGEST_SEED = 6000
const AREA_BYTES = 256 << 10

/** What is received is what is reported, and no buffer is lost. */
export const replay: Target = {
  name: 'replay',
  run: async (bytes) => {
    const handed = new Map<string, number>()
    let result: ReplayResult
    try {
      result = await replayCapture(bytes, {
        areaBytes: AREA_BYTES,
        onData: ({ stream, direction }, _data, _at, length) => {
          const key = `${stream} ${direction}`
          handed.set(key, (handed.get(key) ?? 0) + length)
        },
      })
    } catch (error) {
      if (error instanceof PcapError) return
      throw error
    }
    const { niovs } = result.summary
    if (niovs.lost !== 0) throw new Error(`buffers are lost: ${JSON.stringify(niovs)}`)
    for (const { stream, direction, bytes: reported, skipped } of result.streams) {
      const got = handed.get(`${stream} ${direction}`) ?? 0
      if (skipped === null && got !== reported)
        throw new Error(`${got} bytes handed out, ${reported} reported`)
    }
  },
  seeds: () => [...smallCaptures().map((capture) => capture.pcapng()), ...sampleFiles(LARGEST_SEED)],
  dictionary,
  longest: 6000,
}
