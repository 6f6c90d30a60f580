import { SHAPES } from './replay.ts'
import { makeRig } from './stack-rig.ts'

/*
 * `node --expose-gc --trace-deopt --trace-gc dist/bench/steady.js [flows] [packets]`: receives bulk data; between the lines `warm` and `done` V8 should have
 * nothing to say.
 */
const PAYLOAD = 1448
/** Rounds until everything on the way, their ends too, has been compiled, and packets of each. */
const WARM_ROUNDS = 30
const ROUND = 100_000

const [flows = 1, packets = 10_000_000] = process.argv.slice(2).map(Number)
const rig = makeRig(SHAPES['4']!, flows)
for (let i = 0; i < WARM_ROUNDS; i++)
  rig.run(ROUND, PAYLOAD)
  // What compiling has left is not to be collected later.
;(globalThis as { gc?: () => void }).gc?.()
console.log('warm')
for (let left = packets; left > 0; left -= ROUND) rig.run(Math.min(ROUND, left), PAYLOAD)
console.log(`done, ${rig.stack.counters.rxBytes} bytes`)
