import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import LongestFirst from './test/support/longest-first.ts'

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Suites that use the machine: interfaces, sockets, processes, time. They wait a good part of the time, so two run beside each other, behind the others. */
const REAL = ['daemon', 'differential', 'driver', 'e2e', 'examples', 'workers'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
)

export default defineConfig({
  resolve: {
    // Examples import the package by its name; tests mean its sources, not what was compiled last.
    alias: [
      { find: /^zcrx$/, replacement: source('./index.ts') },
      { find: /^zcrx\/(driver|sinks|stack)$/, replacement: source('./$1/index.ts') },
      { find: /^zcrx\/pcap$/, replacement: source('./replay/index.ts') },
      { find: /^zcrx\/abi$/, replacement: source('./uapi/abi/index.ts') },
    ],
  },
  test: {
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default'],
    sequence: { sequencer: LongestFirst },
    setupFiles: [source('./test/support/same-bytes.ts')],
    // What hosts keep for the next time stays in the checkout.
    env: { STATE_DIRECTORY: source('./node_modules/.zcrx-state') },
    projects: [
      {
        extends: true,
        test: {
          name: 'computed',
          include: ['test/**/*.test.ts'],
          exclude: REAL,
          maxWorkers: 3,
          // Modules are loaded once in each worker: a fifth of the time otherwise.
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'real', include: REAL, maxWorkers: 2, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
