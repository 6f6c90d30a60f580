import { runText } from '../../packetdrill/cli.ts'
import { switchesOf } from '../../packetdrill/lenient.ts'
import { reportLine } from '../../packetdrill/report.ts'
import type { RunResult } from '../../packetdrill/run.ts'

/** An accepted connection without options, descriptor 4; the peer's window is 20000. */
export const ACCEPTED = `   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+0 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
`
/** Line of the first event behind `ACCEPTED` with one option line in front. */
export const FIRST = 9

/** Runs a script over IPv4. */
export function run(events: string, lenient = ''): RunResult {
  const switches = switchesOf(lenient)
  if (typeof switches === 'string') throw new Error(`no switch: ${switches}`)
  const [report] = runText('s', `--ip_version=ipv4\n${events}`, new Set(switches))
  return report!.result
}

/** The line a run is reported with. */
export function line(events: string, lenient = ''): string {
  return reportLine({ name: 's', family: '', result: run(events, lenient) })
}

/** As `line`, with an accepted connection in front. */
export function accepted(events: string, lenient = ''): string {
  return line(ACCEPTED + events, lenient)
}
