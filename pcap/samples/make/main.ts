import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { built } from './built.ts'
import { converted, recorded } from './converted.ts'

/**
 * Makes the sample captures anew: `node dist/pcap/samples/make/main.js [NAME...]`. Without names, those that are the same
 * every time; `record` or `record:NAME` records Linux again, as root.
 */

/** Where the sources lie, above what was compiled. */
export function samplesDirectory(): string {
  let at = dirname(fileURLToPath(import.meta.url))
  while (at !== '/' && !existsSync(join(at, 'package.json'))) at = dirname(at)
  return join(at, 'pcap', 'samples')
}

/** The bytes of a sample that is built or converted; null for another name. */
export async function makeSample(file: string, directory: string): Promise<Uint8Array | null> {
  const build = built[file]
  if (build !== undefined)
    return file.endsWith('.pcap') ? build().pcap({ nanoseconds: false }) : build().pcapng()
  const conversion = converted[file]
  if (conversion === undefined) return null
  return conversion.make(await recorded(readFileSync(join(directory, conversion.from))))
}

/** Whether all could be made. */
async function main(names: string[]): Promise<boolean> {
  const directory = samplesDirectory()
  const record = names.filter((name) => name === 'record' || name.startsWith('record:'))
  if (record.length > 0) {
    const scenarios = record.includes('record') ? [] : record.map((name) => name.slice('record:'.length))
    const script = join(directory, 'make', 'scenarios.py')
    const { status } = spawnSync('python3', ['-B', script, directory, ...scenarios], { stdio: 'inherit' })
    if (status !== 0) return false
  }
  const rest = names.filter((name) => !record.includes(name))
  const wanted = names.length === record.length ? [...Object.keys(built), ...Object.keys(converted)] : rest
  for (const file of wanted) {
    const bytes = await makeSample(file, directory)
    if (bytes === null) {
      console.error(
        `there is no sample ${file}: built and converted ones are named by their file, recorded ones record:NAME`,
      )
      return false
    }
    writeFileSync(join(directory, file), bytes)
    console.log(`${file}: ${bytes.length} bytes`)
  }
  return true
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === process.argv[1]) {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
}
