import { Choices } from '../bulk/choices.ts'
import { playBulk } from '../bulk/script.ts'
import type { Target } from '../fuzzer.ts'

/** What is made of bursts is what is made of the same frames one by one: completions, frames, counts, buffers, connections. */
export const bulk: Target = {
  name: 'bulk',
  run: (bytes) => {
    playBulk(new Choices(bytes))
  },
  seeds: () => Array.from({ length: 64 }, (_, seed) => Uint8Array.of(seed, seed * 37, seed * 101)),
  longest: 600,
}
