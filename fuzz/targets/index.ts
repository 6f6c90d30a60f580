import type { Target } from '../engine.ts'
import { followed } from './follow.ts'
import { line } from './line.ts'
import { gzip, pcap, pcapng } from './reader.ts'
import { replay } from './replay.ts'

/** Everything that can be fuzzed. */
export const targets: readonly Target[] = [pcap, pcapng, gzip, line, followed, replay]
