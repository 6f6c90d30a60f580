import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    // Examples import the package by its name; tests mean its sources, not what was compiled last.
    alias: [
      { find: /^zcrx$/, replacement: source('./index.ts') },
      { find: /^zcrx\/(driver|stack)$/, replacement: source('./$1/index.ts') },
      { find: /^zcrx\/pcap$/, replacement: source('./replay/index.ts') },
      { find: /^zcrx\/abi$/, replacement: source('./uapi/abi/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
})
