import { ArgumentError, parseDevice } from '../api.ts'
import { type AddCommand, checked } from './command.ts'
import { parseSize, UsageError } from './parse.ts'

interface DoctorFlags {
  json: boolean
  try: boolean
  area?: number
}

/** `zcrxd doctor`. */
export const addDoctor: AddCommand = (program, actions, done) => {
  program
    .command('doctor')
    .description('say whether a device can be opened, in which way, and what is missing')
    .argument(
      '[device]',
      'device string, or an interface, all of whose ways in are judged; default: the machine',
    )
    .option('--json', 'print one JSON object', false)
    .option('--try', 'send and receive over each way in through a scratch veth pair; needs root', false)
    .option('--area <size>', 'memory that data is to be received into (default: 64M)', checked(parseSize))
    .addHelpText(
      'after',
      `
Looks, opens sockets, loads the XDP program and gives all of it back; takes no queue and changes nothing. --try works
in network namespaces of its own, which it removes. Exit status: 0 when the daemon would start; 1 when it would not;
2 when the command line is wrong.

Examples:
  zcrxd doctor
  zcrxd doctor eth0
  zcrxd doctor xdp:eth0/1?mode=native --json
  zcrxd doctor --try`,
    )
    .action(async (device: string | undefined, flags: DoctorFlags) => {
      done(
        await actions.doctor({
          ...(device === undefined ? {} : { device: doctorDevice(device) }),
          json: flags.json,
          try: flags.try,
          ...(flags.area === undefined ? {} : { areaBytes: flags.area }),
        }),
      )
    })
}

/** An interface stands for the best of its ways. @throws UsageError that shows where it is wrong */
function doctorDevice(text: string): string {
  const device = text.includes(':') ? text : `auto:${text}`
  try {
    parseDevice(device)
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error
    const { message, remedy } = error
    throw new UsageError(`${message.slice(0, -remedy.length - 2)}\n  what to do: ${remedy}`)
  }
  return device
}
