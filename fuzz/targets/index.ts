import type { Target } from '../fuzzer.ts'

/** Everything that can be fuzzed, by name. Loaded when it is: what is under test has to be instrumented first. */
export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  pcap: async () => (await import('./reader.ts')).pcap,
  pcapng: async () => (await import('./reader.ts')).pcapng,
  gzip: async () => (await import('./reader.ts')).gzip,
  line: async () => (await import('./line.ts')).line,
  follow: async () => (await import('./follow.ts')).followed,
  bulk: async () => (await import('./bulk.ts')).bulk,
  replay: async () => (await import('./replay.ts')).replay,
}
