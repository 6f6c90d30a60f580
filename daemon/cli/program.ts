import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { followCommand } from '../captures/follow.ts'
import { Printer, writeOut } from '../captures/printer.ts'
import { replayCommand } from '../captures/replay.ts'
import { demoCommand } from '../demo/command.ts'
import { doctorCommand } from '../doctor/command.ts'
import { run } from '../run/run.ts'
import { addFollow, addReplay } from './captures.ts'
import type { Actions, AddCommand } from './command.ts'
import { addDemo } from './demo.ts'
import { addDoctor } from './doctor.ts'
import { addRun } from './run.ts'

const COMMANDS: readonly AddCommand[] = [addRun, addDemo, addReplay, addFollow, addDoctor]

/** Runs a command that prints lines; what it has printed is written whatever becomes of it. */
async function printing(command: (print: (line: string) => void) => Promise<number>): Promise<number> {
  const printer = new Printer(writeOut)
  try {
    return await command(printer.line)
  } finally {
    printer.flush()
  }
}

export function systemActions(signal: AbortSignal): Actions {
  return {
    run: (options) => run(options, signal),
    demo: (options, json) => demoCommand(options, json, signal),
    replay: (request) => printing((print) => replayCommand(request, signal, print)),
    follow: (request) => printing((print) => followCommand(request, signal, print)),
    doctor: (request) => printing((print) => doctorCommand(request, signal, print)),
  }
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
  for (const add of COMMANDS) add(program, actions, done)
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError(`(zcrxd ${command.name()} --help)`)
  return program
}

/** This file is at `daemon/cli/` in the sources, at `dist/daemon/cli/` when compiled and in `dist/zcrxd/` when bundled. */
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
