import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { demoCommand } from '../demo/command.ts'
import { MAX_FLOW_BYTES } from '../demo/content.ts'
import { type DemoDriver, type DemoOptions, MAX_DEMO_FLOWS } from '../demo/demo.ts'
import { type RunOptions, run } from '../run/run.ts'
import {
  deviceString,
  type ListenAddress,
  parseChoice,
  parseDuration,
  parseInteger,
  parseListen,
  parseSink,
  parseSize,
  type SinkSpec,
  UsageError,
} from './parse.ts'

const MODES = ['auto', 'native', 'generic'] as const
type Mode = (typeof MODES)[number]

/** What the commands do; tests put their own in. */
export interface Actions {
  run(options: RunOptions): Promise<number>
  demo(options: DemoOptions, json: boolean): Promise<number>
}

export function systemActions(signal: AbortSignal): Actions {
  return {
    run: (options) => run(options, signal),
    demo: (options, json) => demoCommand(options, json, signal),
  }
}

/** Lets commander show a parser's complaint as its own. */
function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      throw error instanceof UsageError ? new InvalidArgumentError(`${error.message}.`) : error
    }
  }
}

interface RunFlags {
  device: string
  queue?: number
  mode?: Mode
  listen: ListenAddress
  sink: SinkSpec
  area?: number
  ownAddress: boolean
  once: boolean
  stats: number
  json: boolean
}

interface DemoFlags {
  bytes?: number
  mtu: number
  flows: number
  driver?: DemoDriver
  mode: Mode
  json: boolean
}

/**
 * The command line. Errors in it throw commander's `CommanderError`; the command's exit status goes to `done`.
 */
export function buildProgram(actions: Actions, done: (status: number) => void): Command {
  const program = new Command('zcrxd')
    .description('Receives TCP streams into memory you own: zero-copy receive in user space, over AF_XDP.')
    .version(packageVersion(), '--version')
    .option('-v, --verbose', 'log more, and print stack traces (also: ZCRX_DEBUG=1)', false)
    .exitOverride()
    .showHelpAfterError('(--help shows what there is)')
  addRun(program, actions, done)
  addDemo(program, actions, done)
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError(`(zcrxd ${command.name()} --help)`)
  return program
}

function addRun(program: Command, actions: Actions, done: (status: number) => void): void {
  program
    .command('run')
    .description('receive on a network queue until interrupted')
    .requiredOption('-d, --device <if>', 'interface, or a whole device string such as xdp:eth0/1?mode=native')
    .option(
      '-q, --queue <n>',
      'receive queue of the interface',
      checked((text) => parseInteger(text, 'queue', 0, 65535)),
    )
    .option(
      '--mode <mode>',
      `how the XDP program is attached: ${MODES.join(', ')}`,
      checked((text) => parseChoice(text, 'mode', MODES)),
    )
    .requiredOption(
      '-l, --listen <addr:port>',
      'address ([ADDRESS] if IPv6) and port; :PORT takes the first address',
      checked(parseListen),
    )
    .addOption(
      new Option(
        '-s, --sink <sink>',
        'where the bytes go: discard, hash (SHA-256), file:DIR (a file per connection)',
      )
        .argParser(checked(parseSink))
        .default({ kind: 'discard' } satisfies SinkSpec, 'discard'),
    )
    .option('--area <size>', 'memory that data is received into (default: 64M)', checked(parseSize))
    .option(
      '--own-address',
      'the address is not the kernel’s: answer ARP and neighbour solicitations for it',
      false,
    )
    .option('--once', 'end after the first connection', false)
    .addOption(
      new Option('--stats <time>', 'log the rate this often while bytes arrive; 0: never')
        .argParser(checked(parseDuration))
        .default(10_000, '10s'),
    )
    .option('--json', 'print the totals as one JSON object', false)
    .addHelpText(
      'after',
      `
Logs go to stderr as JSON lines, the totals to stdout. SIGINT and SIGTERM end it: connections are closed, what was
received is stored, the queue is given back. Exit status: 0; 1 when something failed or not every byte is stored;
2 when the command line is wrong.

Examples:
  zcrxd run --device eth0 --queue 1 --listen 192.0.2.1:9000
  zcrxd run --device eth0 --listen :9000 --sink file:/srv/incoming --area 256M
  zcrxd run --device eth0 --listen :9000 --sink hash --once --json`,
    )
    .action(async (flags: RunFlags, command: Command) => {
      done(
        await actions.run({
          device: deviceString(flags.device, flags.queue, flags.mode),
          listen: flags.listen,
          sink: flags.sink,
          ...(flags.area === undefined ? {} : { areaBytes: flags.area }),
          ownAddress: flags.ownAddress,
          once: flags.once,
          json: flags.json,
          verbose: command.optsWithGlobals<{ verbose: boolean }>().verbose,
          statsEvery: flags.stats,
        }),
      )
    })
}

function addDemo(program: Command, actions: Actions, done: (status: number) => void): void {
  program
    .command('demo')
    .description('show it: Linux sends, zcrx receives and checks; then node:net receives the same')
    .option(
      '--bytes <size>',
      'bytes of each pass (default: 2G over xdp, 256M over memory)',
      checked(parseSize),
    )
    .option(
      '--mtu <n>',
      'MTU of the link',
      checked((text) => parseInteger(text, 'MTU', 576, 65535)),
      1500,
    )
    .option(
      '--flows <n>',
      'connections',
      checked((text) => parseInteger(text, 'number of flows', 1, MAX_DEMO_FLOWS)),
      1,
    )
    .option(
      '--driver <driver>',
      'xdp (a veth pair; needs root) or memory (default: xdp, else memory)',
      checked((text) => parseChoice(text, 'driver', ['xdp', 'memory'] as const)),
    )
    .option(
      '--mode <mode>',
      `how the XDP program is attached: ${MODES.join(', ')}`,
      checked((text) => parseChoice(text, 'mode', MODES)),
      'auto',
    )
    .option('--json', 'print one JSON object as the last line', false)
    .addHelpText(
      'after',
      `
Each receiver gets the stream twice: a verified pass (SHA-256 over every byte at both ends), and a measured pass
(bytes counted, contents sampled), which the rates are of. As root it makes two network namespaces and a veth pair
and removes them again. Exit status: 0 only when every byte arrived unchanged and no niov is lost.

Examples:
  zcrxd demo
  zcrxd demo --json --mtu 9000 --flows 8
  zcrxd demo --driver memory --bytes 64M`,
    )
    .action(async (flags: DemoFlags) => {
      const { bytes, mtu, flows, driver, mode, json } = flags
      if (bytes !== undefined && (bytes < flows || bytes > MAX_FLOW_BYTES)) {
        throw new UsageError(
          `--bytes ${bytes} does not do for ${flows} flows; allowed is at least one byte a flow, at most 256T`,
        )
      }
      done(
        await actions.demo(
          {
            mtu,
            flows,
            mode,
            ...(bytes === undefined ? {} : { bytes }),
            ...(driver === undefined ? {} : { driver }),
          },
          json,
        ),
      )
    })
}

/** This file is at `daemon/cli/` in the sources and at `dist/daemon/cli/` when built. */
function packageVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }
      return manifest.version
    } catch {
      // The other place.
    }
  }
  return 'unknown'
}
