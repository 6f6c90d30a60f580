import { BENCHES, COMMANDS } from './benches.ts'

/** `npm run bench -- WHAT [options]`. A bench, or what is done with several, is a module that exports `main(args): Promise<void>`. */
const MODULES: Readonly<Record<string, string>> = { ...BENCHES, ...COMMANDS }

// Who reads the output may have seen enough (`| head`).
process.stdout.on('error', () => process.exit())

const [name = '', ...args] = process.argv.slice(2)
if (Object.hasOwn(MODULES, name)) {
  const bench = (await import(new URL(`./${name}.js`, import.meta.url).href)) as {
    main(args: string[]): Promise<void>
  }
  await bench.main(args)
} else {
  const width = Math.max(...Object.keys(MODULES).map((key) => key.length))
  const list = Object.entries(MODULES).map(([key, text]) => `  ${key.padEnd(width)}  ${text}`)
  process.stderr.write(`usage: npm run bench -- WHAT [options]\n${list.join('\n')}\n`)
  process.exitCode = 2
}
