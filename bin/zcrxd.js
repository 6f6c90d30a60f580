#!/usr/bin/env node
import { existsSync } from 'node:fs'

// The first is the second in fewer files (scripts/bundle.mjs).
const built = ['../dist/zcrxd/main.js', '../dist/daemon/main.js']
  .map((path) => new URL(path, import.meta.url))
  .find((url) => existsSync(url))
if (built !== undefined) {
  const { main } = await import(built.href)
  process.exitCode = await main(process.argv.slice(2))
} else {
  process.stderr.write('zcrxd: not built yet\n  what to do: npm run setup\n')
  process.exitCode = 1
}
