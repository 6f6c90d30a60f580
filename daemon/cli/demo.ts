import { MAX_FLOW_BYTES } from '../demo/content.ts'
import { MAX_DEMO_FLOWS, MAX_DEMO_WORKERS } from '../demo/demo.ts'
import { DEMO_DRIVERS, type DemoDriver } from '../demo/options.ts'
import { addCaptureOptions, type CaptureFlags, captureOf } from './capture.ts'
import { type AddCommand, checked, checkedModes, MODES } from './command.ts'
import { parseChoice, parseInteger, parseSize, UsageError } from './parse.ts'

/** Which queue a connection comes to is the link's to say: with so many each has some. */
const FLOWS_PER_WORKER = 8

interface DemoFlags extends CaptureFlags {
  bytes?: number
  mtu: number
  flows?: number
  workers?: number
  driver?: DemoDriver
  json: boolean
}

/** `zcrxd demo`. */
export const addDemo: AddCommand = (program, actions, done) => {
  const command = program
    .command('demo')
    .description('show it: Linux sends, zcrx receives and checks; then node:net receives the same')
    .option(
      '--bytes <size>',
      'bytes of each pass (default: 2G over xdp, tap and packet, 256M over raw and memory)',
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
      'connections (default: 1, or 8 for each worker)',
      checked((text) => parseInteger(text, 'number of flows', 1, MAX_DEMO_FLOWS)),
    )
    .option(
      '--workers <n>',
      'threads of zcrx, each with a queue of the link (default: none)',
      checked((text) => parseInteger(text, 'number of workers', 1, MAX_DEMO_WORKERS)),
    )
    .option(
      '--driver <driver>',
      `way in: ${DEMO_DRIVERS.join(', ')}; all but memory need root (default: xdp, else memory)`,
      checked((text) => parseChoice(text, 'driver', DEMO_DRIVERS)),
    )
    .option(
      '--mode <mode>',
      `how the XDP program is attached: ${MODES.join(', ')} (default: auto); or, in octal, the permission bits of captures`,
      checkedModes(),
    )
    .option('--json', 'print one JSON object as the last line', false)
  addCaptureOptions(command)
    .addHelpText(
      'after',
      `
Each receiver gets the stream twice: a verified pass (SHA-256 over every byte at both ends), and a measured pass
(bytes counted, contents sampled), which the rates are of. As root it makes two network namespaces and a veth pair
and removes them again. Exit status: 0 only when every byte arrived unchanged and no niov is lost.

Examples:
  zcrxd demo
  zcrxd demo --json --mtu 9000 --flows 8
  zcrxd demo --workers 2
  zcrxd demo --driver tap
  zcrxd demo --driver memory --bytes 64M
  zcrxd demo --bytes 64M --capture demo.pcapng --snaplen 128`,
    )
    .action(async (flags: DemoFlags) => {
      const { bytes, mtu, workers, driver, mode, json } = flags
      const flows = flags.flows ?? (FLOWS_PER_WORKER * (workers ?? 0) || 1)
      if (workers !== undefined && flags.capture !== undefined)
        throw new UsageError('--capture is of one queue on the main thread: leave out --workers')
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
            mode: mode?.attach ?? 'auto',
            ...(bytes === undefined ? {} : { bytes }),
            ...(driver === undefined ? {} : { driver }),
            ...(workers === undefined ? {} : { workers }),
            ...captureOf(flags),
          },
          json,
        ),
      )
    })
}
