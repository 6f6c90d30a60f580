import { BenchError } from './errors.ts'
import { wayOf } from './stack.ts'

/** A bench that `compare` runs in both trees: what it is called with, and how its result is read. */
export interface Compared {
  readonly bench: string
  readonly args: readonly string[]
  /** Times by the name of the case. @throws BenchError `ZCRX_BENCH_FORM` */
  read(result: unknown): Map<string, number>
}

interface StackForm {
  readonly results: readonly {
    readonly ip: string
    readonly payload: number
    readonly flows: number
    readonly checksum: string
    readonly bulk: boolean
    readonly javascript?: boolean
    readonly split: boolean
    readonly packet: { readonly p10: number }
  }[]
}

interface PcapForm {
  readonly results: readonly { readonly name: string; readonly cpuSeconds: { readonly median: number } }[]
}

/** What to do about a revision whose benches are of another form. */
export const LATER =
  'compare with a later revision, whose benches are called and print as those of the working tree'

function foreign(bench: string, cause?: unknown): BenchError {
  return new BenchError(
    'ZCRX_BENCH_FORM',
    `the result of "${bench}" is not of the form that is read here`,
    LATER,
    { cause },
  )
}

/** @param entry name and time of one result */
function reader<One>(
  bench: string,
  entry: (one: One) => readonly [string, number],
): (result: unknown) => Map<string, number> {
  return (result) => {
    const times = new Map<string, number>()
    try {
      for (const one of (result as { results: One[] }).results) {
        const [name, time] = entry(one)
        if (!(time > 0)) throw foreign(bench)
        times.set(name, time)
      }
    } catch (error) {
      throw error instanceof BenchError ? error : foreign(bench, error)
    }
    if (times.size === 0) throw foreign(bench)
    return times
  }
}

export const stackTimes = reader<StackForm['results'][number]>('stack', (one) => [
  `stack: IPv${one.ip}, ${one.payload} B, ${one.flows} flows, ${one.checksum}, ${wayOf(one)}`,
  one.packet.p10,
])

export const pcapTimes = reader<PcapForm['results'][number]>('pcap', ({ name, cpuSeconds }) => [
  `pcap: ${name}`,
  cpuSeconds.median,
])

/** The last line that a bench has printed. @throws BenchError `ZCRX_BENCH_FORM` */
export function resultIn(bench: string, output: string): unknown {
  try {
    return JSON.parse(output.trim().split('\n').at(-1) ?? '')
  } catch (error) {
    throw foreign(bench, error)
  }
}
