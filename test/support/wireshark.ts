import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The first port that a connection may have by chance: Linux's `ip_local_port_range`. */
const FIRST_BY_CHANCE = 32_768

let environment: NodeJS.ProcessEnv | undefined

/**
 * The environment in which Wireshark's programs take what a segment carries for nobody's protocol because of a port that it has by chance
 * (44818 is EtherNet/IP) or because random bytes look like one: the rest would be malformed then.
 */
export function withoutGuesses(): NodeJS.ProcessEnv {
  if (environment !== undefined) return environment
  const byPort = table('decodes').filter(([of, port]) => of === 'tcp.port' && Number(port) >= FIRST_BY_CHANCE)
  const byLook = table('heuristic-decodes').filter(([of]) => of === 'tcp')
  const protocols = new Set([...byPort.map(([, , name]) => name), ...byLook.map(([, name]) => name)])
  const directory = mkdtempSync(join(tmpdir(), 'zcrx-wireshark-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'disabled_protos'), `${[...protocols].join('\n')}\n`)
  environment = { ...process.env, WIRESHARK_CONFIG_DIR: directory }
  return environment
}

/** What `tshark -G` prints, the fields of each line. */
function table(name: string): string[][] {
  const printed = execFileSync('tshark', ['-G', name], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 24,
  })
  const lines = printed.split('\n')
  return lines.filter((line) => line !== '').map((line) => line.split('\t'))
}
