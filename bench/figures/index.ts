import type { BenchName } from '../benches.ts'
import { consume } from './consume.ts'
import { copies } from './copies.ts'
import { e2e } from './e2e.ts'
import { latency } from './latency.ts'
import { loss } from './loss.ts'
import { pcap } from './pcap.ts'
import { pps } from './pps.ts'
import { scale } from './scale.ts'
import { stack } from './stack.ts'
import type { Figures } from './types.ts'
import { workers } from './workers.ts'

/** Of every bench. What it prints is of its own form, which only its entry knows. */
export const FIGURES: Readonly<Record<BenchName, Figures>> = {
  stack,
  copies,
  scale,
  pps,
  latency,
  workers,
  pcap,
  loss,
  consume,
  e2e,
} as Record<BenchName, Figures<never>> as Record<BenchName, Figures>
