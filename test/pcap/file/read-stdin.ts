import { PcapError } from '../../../errors.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'

/** Reads a capture on standard input, of which the first argument's number of packets, and says how it ended. */
const most = Number(process.argv[2] ?? Number.POSITIVE_INFINITY)
let count = 0
let end = ''
try {
  for await (const _ of await CaptureReader.open('-')) if (++count === most) break
} catch (error) {
  if (!(error instanceof PcapError)) throw error
  end = `, ${error.code} at ${error.offset}`
}
console.log(`${count} packets${end}`)
