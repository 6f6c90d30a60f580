import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ScriptError, UnsupportedError } from './errors.ts'
import { ipv4, ipv6 } from './family.ts'
import { SWITCHES, type Switch, switchesOf } from './lenient.ts'
import { closingLines, eventLine, type Report, reportJson, reportLine } from './report.ts'
import { type RunResult, runScript } from './run.ts'
import type { Script, ScriptOption } from './script/ast.ts'
import { parseScript } from './script/parser.ts'
import { type Settings, settingsOf } from './settings.ts'

export const USAGE = `usage: npm run packetdrill -- [options] FILE|DIR...

  --lenient SWITCH,...  forgive what the switches name; all = those that concern comparison
  --json                results as JSON
  --verbose             each event as it happens, and what was passed over
  --NAME=VALUE          an option that scripts can have, such as --tolerance_usecs=10000; a script's own counts more

switches: ${SWITCHES.join(' ')}
`

/** Where the command writes: text with its line ends. */
export interface Output {
  out(text: string): void
  err(text: string): void
}

interface Arguments {
  readonly paths: readonly string[]
  readonly lenient: ReadonlySet<Switch>
  readonly json: boolean
  readonly verbose: boolean
  readonly options: readonly ScriptOption[]
}

/** Runs the command; returns its exit status: 0, 1 when something failed, 2 when it was called wrongly. */
export function main(args: readonly string[], output: Output): number {
  if (args.includes('--help')) {
    output.out(USAGE)
    return 0
  }
  const parsed = parseArguments(args)
  const files = typeof parsed === 'string' ? parsed : filesOf(parsed.paths)
  if (typeof parsed === 'string' || typeof files === 'string') {
    output.err(`packetdrill: ${typeof parsed === 'string' ? parsed : files}\n${USAGE}`)
    return 2
  }
  const reports: Report[] = []
  for (const file of files) {
    const onLine = (line: string): void => {
      if (parsed.verbose) (parsed.json ? output.err : output.out)(`${line}\n`)
    }
    for (const report of runText(file, readFileSync(file, 'utf8'), parsed.lenient, parsed.options, onLine)) {
      reports.push(report)
      if (!parsed.json) output.out(`${reportLine(report)}\n`)
      for (const note of report.result.notes) onLine(`  note: ${note}`)
    }
  }
  output.out(`${parsed.json ? reportJson(reports) : closingLines(reports)}\n`)
  return reports.some(({ result }) => result.outcome === 'fail') ? 1 : 0
}

/** Runs a script over the families it is for. Never throws. */
export function runText(
  name: string,
  text: string,
  lenient: ReadonlySet<Switch> = new Set(),
  options: readonly ScriptOption[] = [],
  onLine: (line: string) => void = () => {},
): Report[] {
  let script: Script
  let settings: Settings
  try {
    const own = parseScript(text)
    script = { ...own, options: [...options, ...own.options] }
    settings = settingsOf(script)
  } catch (error) {
    return [{ name, family: '', result: unread(error) }]
  }
  const both = settings.families.length > 1
  return settings.families.map((which) => {
    const family = which === 'ipv4' ? ipv4 : ipv6
    onLine(`${name}${both ? ` (${which})` : ''}`)
    const result = runScript(script, settings, family, {
      lenient,
      onEvent: (timeUs, event) => onLine(eventLine(timeUs, event)),
    })
    return { name, family: both ? which : '', result }
  })
}

function unread(error: unknown): RunResult {
  if (!(error instanceof ScriptError)) throw error
  return {
    outcome: error instanceof UnsupportedError ? 'skip' : 'fail',
    position: error.position,
    message: error.message,
    expected: '',
    actual: '',
    used: [],
    notes: [],
  }
}

function parseArguments(args: readonly string[]): Arguments | string {
  const paths: string[] = []
  const options: ScriptOption[] = []
  let lenient: ReadonlySet<Switch> = new Set()
  let json = false
  let verbose = false
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--json') json = true
    else if (arg === '--verbose') verbose = true
    else if (arg === '--lenient' || arg.startsWith('--lenient=')) {
      const list = arg === '--lenient' ? args[++i] : arg.slice('--lenient='.length)
      if (list === undefined) return '--lenient needs switches'
      const switches = switchesOf(list)
      if (typeof switches === 'string') return `${switches} is not a lenient switch`
      lenient = new Set([...lenient, ...switches])
    } else if (/^--\w+=/.test(arg)) {
      const [name = '', value = ''] = arg.slice(2).split(/=(.*)/s)
      options.push({ at: { line: 1, column: 1 }, name, value })
    } else if (arg.startsWith('-')) return `unknown option ${arg}`
    else paths.push(arg)
  }
  return paths.length === 0 ? 'no scripts given' : { paths, lenient, json, verbose, options }
}

/** The files, and every .pkt file below the folders, sorted; or what is wrong. */
function filesOf(paths: readonly string[]): string[] | string {
  const files: string[] = []
  for (const path of paths) {
    try {
      if (statSync(path).isDirectory()) {
        const found = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) =>
          name.endsWith('.pkt'),
        )
        files.push(...found.sort().map((name) => join(path, name)))
      } else files.push(path)
    } catch {
      return `${path} can't be read`
    }
  }
  return files.length === 0 ? 'no scripts found' : files
}
