import { execFileSync, spawnSync } from 'node:child_process'

/** Why a test that reads captures with Wireshark's tools can't run; undefined when it can. */
export function noCaptureTools(): string | undefined {
  for (const tool of ['tshark', 'capinfos'])
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0) return `${tool} is not installed`
  return undefined
}

/** What capinfos says about a file, by the names it prints; of several interfaces the first. @throws Error when it finds the file faulty. */
export function capinfos(file: string): Record<string, string> {
  const text = execFileSync('capinfos', ['-M', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const infos: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const match = /^(.*?)\s*[:=]\s*(.*)$/.exec(line)
    if (match !== null) infos[match[1]!.trim()] ??= match[2]!
  }
  return infos
}

/** Fields of every packet of a file, as tshark prints them. What it says on standard error is part of the result. */
export function packetFields(file: string, ...fields: string[]): { rows: string[][]; complaint: string } {
  const wanted = fields.flatMap((field) => ['-e', field])
  const { stdout, stderr } = spawnSync('tshark', ['-r', file, '-T', 'fields', ...wanted], {
    encoding: 'utf8',
  })
  const complaint = stderr
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('Running as user'))
    .join('\n')
  return {
    rows: stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t')),
    complaint,
  }
}
