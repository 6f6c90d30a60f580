import type { Command } from 'commander'
import type { FollowRequest } from '../captures/follow.ts'
import type { ReplayRequest } from '../captures/replay.ts'
import { type AddCommand, checked } from './command.ts'
import { parseChoice, parseFileMode, parseInteger, parseSize, UsageError } from './parse.ts'

const DIRECTIONS = ['client', 'server', 'both'] as const
const MAX_CONVERSATION = 2 ** 31 - 1

interface StreamFlags {
  direction: (typeof DIRECTIONS)[number]
  conversation?: number
  out?: string
  mode?: number
  json: boolean
}

interface ReplayFlags extends StreamFlags {
  recomputeChecksums: boolean
  area?: number
  capture?: string
}

function addStreamOptions(command: Command): Command {
  return command
    .argument('<file>', 'a capture: pcap or pcapng, also gzipped; - is standard input')
    .option(
      '--direction <side>',
      `whose bytes: ${DIRECTIONS.join(', ')}`,
      checked((text) => parseChoice(text, 'direction', DIRECTIONS)),
      'both',
    )
    .option(
      '--conversation <n>',
      'only this one, by its number (Wireshark’s tcp.stream)',
      checked((text) => parseInteger(text, 'conversation', 0, MAX_CONVERSATION)),
    )
    .option('--out <dir>', 'write each stream to a file there')
    .option(
      '--mode <mode>',
      'permission bits of the files that are written, in octal (default: 600)',
      checked(parseFileMode),
    )
    .option('--json', 'print an object per stream, a line each, and one for the whole', false)
}

function requestOf(file: string, flags: StreamFlags): FollowRequest {
  const { direction, conversation, out, mode, json } = flags
  return {
    file,
    direction,
    json,
    ...(conversation === undefined ? {} : { conversation }),
    ...(out === undefined ? {} : { out }),
    ...(mode === undefined ? {} : { mode }),
  }
}

/** `zcrxd replay`. */
export const addReplay: AddCommand = (program, actions, done) => {
  addStreamOptions(
    program
      .command('replay')
      .description('play the TCP conversations of a capture to the stack, one side at a time'),
  )
    .option(
      '--recompute-checksums',
      'make every checksum right, the wrong ones too; unfinished ones need no help',
      false,
    )
    .option('--area <size>', 'memory that data is received into (default: 64M)', checked(parseSize))
    .option('--capture <file>', 'write what the stack received and sent to a pcapng file')
    .addHelpText(
      'after',
      `
--direction client plays what the clients sent to our stack as the server; server the other way round. Time is the
capture's: nothing is waited for. Exit status: 0; 1 when the capture can't be read to its end; 2 when the command line is wrong.

Examples:
  zcrxd replay trace.pcapng
  zcrxd replay --json --direction client trace.pcap.gz
  zcrxd replay --conversation 3 --out streams --capture run.pcapng trace.pcapng`,
    )
    .action(async (file: string, flags: ReplayFlags) => {
      const { recomputeChecksums, area, capture, out, mode } = flags
      if (mode !== undefined && out === undefined && capture === undefined)
        throw new UsageError('--mode says nothing without --out DIR or --capture FILE')
      const request: ReplayRequest = {
        ...requestOf(file, flags),
        recomputeChecksums,
        ...(area === undefined ? {} : { areaBytes: area }),
        ...(capture === undefined ? {} : { capture }),
      }
      done(await actions.replay(request))
    })
}

/** `zcrxd follow`. */
export const addFollow: AddCommand = (program, actions, done) => {
  addStreamOptions(
    program.command('follow').description('put the TCP streams of a capture in order, without playing them'),
  )
    .addHelpText(
      'after',
      `
As tshark -z follow,tcp,raw: what came first counts, and a hole that the receiver acknowledged is marked. Exit status: 0; 1
when the capture can't be read to its end; 2 when the command line is wrong.

Examples:
  zcrxd follow trace.pcapng
  zcrxd follow --json --out streams trace.pcap.gz`,
    )
    .action(async (file: string, flags: StreamFlags) => {
      if (flags.mode !== undefined && flags.out === undefined)
        throw new UsageError('--mode says nothing without --out DIR')
      done(await actions.follow(requestOf(file, flags)))
    })
}
