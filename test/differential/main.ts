import { main } from './cli.ts'

// Who reads the output may have seen enough (`| head`).
process.stdout.on('error', () => process.exit())

process.exitCode = main(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
})
