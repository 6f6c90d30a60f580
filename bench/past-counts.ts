import { SHAPES } from './replay.ts'
import { makeRig } from './stack-rig.ts'

/*
 * Receives while counts pass 2³¹ and 2³², for whoever watches what V8 recompiles meanwhile (`node --trace-deopt`): between the
 * lines `warm` and `done` nothing of the receive path should be.
 */
const PAYLOAD = 1448
/** Packets until everything on the way has been compiled, and past each of the numbers. */
const WARM_PACKETS = 600_000
const PACKETS = 60_000
/** As far before it as some thousand packets count. */
const BEFORE = 2000

const rig = makeRig(SHAPES['4']!, 4)
const past = (count: number): void => {
  for (const counts of [rig.stack.counters, rig.ifq.stats()] as unknown as Record<string, number>[])
    for (const name of Object.keys(counts)) counts[name] = count - BEFORE
  rig.stack.counters.rxBytes = count - BEFORE * PAYLOAD
  rig.run(PACKETS, PAYLOAD)
}
rig.run(WARM_PACKETS, PAYLOAD)
// Once over, so that what is done in between is compiled too.
past(1 << 20)
rig.run(WARM_PACKETS / 2, PAYLOAD)
console.log('warm')
past(2 ** 31)
past(2 ** 32)
console.log(`done, ${rig.stack.counters.rxFrames} frames, ${rig.ifq.stats().completions} completions`)
