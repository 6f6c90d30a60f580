// Runs a TypeScript module in a process of its own: Node 20 can't by itself. Usage: node child.mjs MODULE [ARGUMENT...]
import { resolve } from 'node:path'
import { runnerImport } from 'vite'

process.argv.splice(1, 1)
await runnerImport(resolve(process.argv[1]), { configFile: false, logLevel: 'error' })
