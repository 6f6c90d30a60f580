import { type Command, Option } from 'commander'
import type { FsyncPolicy } from '../sinks/index.ts'
import { addCaptureOptions, type CaptureFlags, captureOf } from './capture.ts'
import { type AddCommand, checked, checkedList, checkedModes, MODES } from './command.ts'
import {
  deviceString,
  type ImpairSpec,
  type ListenAddress,
  parseAddress,
  parseBusyPoll,
  parseDuration,
  parseFsync,
  parseGateway,
  parseImpair,
  parseInteger,
  parseListen,
  parseRate,
  parseSink,
  parseSize,
  parseVlan,
  parseWorkers,
  type SinkSpec,
  UsageError,
} from './parse.ts'

interface RunFlags extends CaptureFlags {
  device: string
  queue?: number
  workers?: number | 'queues'
  busyPoll?: number
  listen: ListenAddress[]
  takeOver: boolean
  apply: boolean
  sink: SinkSpec
  fsync?: FsyncPolicy
  area?: number
  ownAddress: boolean
  address?: string[]
  gateway?: string[]
  dad: boolean
  secretFile?: string
  vlan?: number[]
  impair?: ImpairSpec
  rateLimit?: number
  once: boolean
  stats: number
  json: boolean
}

/** @throws UsageError for options that say nothing without a sink of files */
function sinkOf({ sink, fsync, mode, capture }: RunFlags): SinkSpec {
  if (sink.kind === 'file') {
    return {
      ...sink,
      ...(fsync === undefined ? {} : { fsync }),
      ...(mode?.file === undefined ? {} : { mode: mode.file }),
    }
  }
  if (fsync !== undefined) throw new UsageError('--fsync says nothing without --sink file:DIR')
  if (mode?.file !== undefined && capture === undefined)
    throw new UsageError('--mode of files says nothing without --sink file:DIR or --capture FILE')
  return sink
}

/** `zcrxd run`. */
export const addRun: AddCommand = (program, actions, done) => {
  const command = program
    .command('run')
    .description('receive on a network queue until interrupted')
    .requiredOption(
      '-d, --device <if>',
      'interface (over AF_XDP), or a device string: xdp:eth0/0-3, tap:tap0, packet:eth0, raw:192.0.2.1, auto:eth0; linux:eth0/5, linux: for the machine’s own stack',
    )
    .option(
      '-q, --queue <n>',
      'receive queue of the interface',
      checked((text) => parseInteger(text, 'queue', 0, 65535)),
    )
    .option(
      '--workers <n>',
      'threads, each with a queue of the device and its stack; queues: one for each (default: none)',
      checked(parseWorkers),
    )
    .option(
      '--busy-poll <us>',
      'look for frames so long (microseconds) after there was nothing to do, before sleeping; always: never sleep (default: 0)',
      checked(parseBusyPoll),
    )
    .option(
      '--mode <mode>',
      `how the XDP program is attached: ${MODES.join(', ')}; or, in octal, the permission bits of received files and captures (default: 600)`,
      checkedModes(),
    )
    .requiredOption(
      '-l, --listen <addr:port>',
      'address ([ADDRESS] if IPv6) and port; :PORT is every address, 0.0.0.0 and [::] every one of a version; several times for several',
      checkedList(parseListen),
    )
    .addOption(
      new Option(
        '-s, --sink <sink>',
        'where the bytes go: discard, hash (SHA-256), file:DIR (a file per connection; .part until it is whole)',
      )
        .argParser(checked(parseSink))
        .default({ kind: 'discard' } satisfies SinkSpec, 'discard'),
    )
    .option(
      '--fsync <when>',
      'when files are synced: none, close (before a file is called whole), interval[:TIME] (default: close)',
      checked(parseFsync),
    )
    .option(
      '--apply',
      'of linux:INTERFACE/QUEUE, set the queue up for zero-copy receive, and put all back at the end',
      false,
    )
    .option('--area <size>', 'memory that data is received into (default: 64M)', checked(parseSize))
    .option(
      '--own-address',
      'the address is not the kernel’s: answer ARP and neighbour solicitations for it',
      false,
    )
    .option(
      '--address <address>',
      'an address of our own, as in 192.0.2.5/24, or auto: IPv6 from routers; several times for several',
      checkedList(parseAddress),
    )
    .option(
      '--gateway <address>',
      'where to send what is beyond the link; once for IPv4 and once for IPv6',
      checkedList(parseGateway),
    )
    .option('--take-over', 'over xdp, take ports that a service of the host has at the address', false)
    .option('--secret-file <file>', 'where the secret of stable addresses is kept, with --address auto')
    .option('--no-dad', 'use addresses of our own without testing whether somebody has them')
    .option(
      '--vlan <id>',
      'VLAN that frames are tagged with, or two, outer first: 7, 100.7',
      checked(parseVlan),
    )
    .option(
      '--impair <list>',
      'spoil frames in both directions, for tests: loss=1%,reorder=1%,duplicate=1%,corrupt=0.1%,delay=10ms,seed=7',
      checked(parseImpair),
    )
    .option('--rate-limit <rate>', 'bits a second in each direction at the most: 10M, 1G', checked(parseRate))
    .option('--once', 'end after the first connection', false)
    .addOption(
      new Option('--stats <time>', 'log the rate this often while bytes arrive; 0: never')
        .argParser(checked(parseDuration))
        .default(10_000, '10s'),
    )
    .option('--json', 'print the totals as one JSON object', false)
  addCaptureOptions(command)
    .addHelpText(
      'after',
      `
Logs go to stderr as JSON lines, the totals to stdout. SIGINT and SIGTERM end it: connections are reset, what was
received is stored, the queue is given back. Exit status: 0; 1 when something failed or not every byte is stored;
2 when the command line is wrong; 3 when transfers were cut.

Examples:
  zcrxd run --device eth0 --queue 1 --listen 192.0.2.1:9000
  zcrxd run --device eth0 --listen :9000 --sink file:/srv/incoming --area 256M
  zcrxd run --device auto:eth0 --listen :9000 --sink hash --once --json
  zcrxd run --device xdp:eth0/0-3 --workers queues --listen :9000
  zcrxd run --device linux: --listen :9000 --sink hash
  zcrxd run --device linux:eth0/5 --apply --listen :9000
  zcrxd run --device tap:tap0 --address 192.0.2.2/24 --listen :9000
  zcrxd run --device eth0 --listen :9000 --address 192.0.2.5/24 --gateway 192.0.2.254 --address auto
  zcrxd run --device eth0 --listen :9000 --capture /var/tmp/in.pcapng --capture-size 100M --capture-files 10`,
    )
    .action(async (flags: RunFlags, command: Command) => {
      done(
        await actions.run({
          device: deviceString(flags.device, flags.queue, flags.mode?.attach),
          ...(flags.workers === undefined ? {} : { workers: flags.workers }),
          ...(flags.busyPoll === undefined ? {} : { busyPollUs: flags.busyPoll }),
          listen: flags.listen.length === 1 ? flags.listen[0]! : flags.listen,
          ...(flags.takeOver ? { takeOver: true } : {}),
          ...(flags.apply ? { apply: true } : {}),
          sink: sinkOf(flags),
          ...(flags.area === undefined ? {} : { areaBytes: flags.area }),
          ...captureOf(flags),
          ownAddress: flags.ownAddress || flags.address !== undefined,
          ...(flags.address === undefined ? {} : { addresses: flags.address }),
          ...(flags.gateway === undefined ? {} : { gateways: flags.gateway }),
          dad: flags.dad,
          ...(flags.secretFile === undefined ? {} : { secretFile: flags.secretFile }),
          ...(flags.vlan === undefined ? {} : { vlan: flags.vlan }),
          ...(flags.impair === undefined ? {} : { impair: flags.impair }),
          ...(flags.rateLimit === undefined ? {} : { rateLimit: flags.rateLimit }),
          once: flags.once,
          json: flags.json,
          verbose: command.optsWithGlobals<{ verbose: boolean }>().verbose,
          statsEvery: flags.stats,
        }),
      )
    })
}
