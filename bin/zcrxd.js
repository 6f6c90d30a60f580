#!/usr/bin/env node
import { existsSync } from 'node:fs'

const built = new URL('../dist/daemon/main.js', import.meta.url)
if (existsSync(built)) {
  const { main } = await import(built.href)
  process.exitCode = await main(process.argv.slice(2))
} else {
  process.stderr.write('zcrxd: not built yet\n  what to do: npm run setup\n')
  process.exitCode = 1
}
