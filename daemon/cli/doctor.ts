import { ArgumentError, isLinuxDevice, parseDevice, parseLinuxDevice } from '../api.ts'
import type { ApplyRequest } from '../doctor/apply.ts'
import { type AddCommand, checked, checkedList } from './command.ts'
import { parseInteger, parseSize, UsageError } from './parse.ts'

interface DoctorFlags {
  json: boolean
  try: boolean
  area?: number
  apply: boolean
  port?: number[]
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
    .option('--port <port>', 'of linux:, TCP port that is to come to the queue; several times', ports)
    .option(
      '--apply',
      'of linux:INTERFACE/QUEUE, set the queue up for zero-copy receive, and put all back when interrupted',
      false,
    )
    .addHelpText(
      'after',
      `
Looks, opens sockets, loads the XDP program and gives all of it back; takes no queue and changes nothing. --try works
in network namespaces of its own, which it removes. --apply alone changes settings of the interface, and puts them back.
Exit status: 0 when the daemon would start; 1 when it would not; 2 when the command line is wrong.

Examples:
  zcrxd doctor
  zcrxd doctor eth0
  zcrxd doctor xdp:eth0/1?mode=native --json
  zcrxd doctor linux:eth0/5 --apply --port 9000
  zcrxd doctor --try`,
    )
    .action(async (device: string | undefined, flags: DoctorFlags) => {
      const apply = flags.apply ? applied(device, flags) : undefined
      if (flags.port !== undefined && !isLinuxDevice(device ?? ''))
        throw new UsageError('--port says nothing but of linux:INTERFACE/QUEUE')
      done(
        await actions.doctor({
          ...(device === undefined ? {} : { device: doctorDevice(device) }),
          json: flags.json,
          try: flags.try,
          ...(flags.area === undefined ? {} : { areaBytes: flags.area }),
          ...(flags.port === undefined ? {} : { ports: flags.port }),
          ...(apply === undefined ? {} : { apply }),
        }),
      )
    })
}

const ports = checkedList((text) => parseInteger(text, 'port', 1, 65535))

/** What is to be set up. @throws UsageError unless it is one queue */
function applied(text: string | undefined, { port = [], try: tries }: DoctorFlags): ApplyRequest {
  if (tries) throw new UsageError('--apply and --try are two things: one after the other')
  const device = doctorDevice(text ?? '')
  if (!isLinuxDevice(device)) throw new UsageError('--apply sets up linux:INTERFACE/QUEUE only')
  const { name, queue, queues, netns } = parseLinuxDevice(device)
  if (name === '' || queues !== 1) throw new UsageError('--apply sets up one queue, as in linux:eth0/5')
  return { device: name, queue, ports: port, ...(netns === undefined ? {} : { netns }) }
}

/** An interface stands for the best of its ways. @throws UsageError that shows where it is wrong */
function doctorDevice(text: string): string {
  const device = text.includes(':') ? text : `auto:${text}`
  try {
    if (isLinuxDevice(device)) parseLinuxDevice(device)
    else parseDevice(device)
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error
    const { message, remedy } = error
    throw new UsageError(`${message.slice(0, -remedy.length - 2)}\n  what to do: ${remedy}`)
  }
  return device
}
