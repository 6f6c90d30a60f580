import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { seededRandom } from '../../../driver/impairments.ts'
import { merge, type PacketBuilder, packets } from '../../../pcap/index.ts'
import { ipv4, ipv6, join as joined, outer, packetOf } from '../../../pcap/samples/make/tunnels.ts'
import { follow } from '../../../replay/index.ts'
import { noCaptureTools } from '../../support/capture-tools.ts'
import { withCapture } from '../../support/sharkd.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.warn(`numbers of streams are not compared with Wireshark's: ${missing}`)
const directory = mkdtempSync(join(tmpdir(), 'zcrx-numbers-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Connections, and what names them: quotations of any length, wrong data offsets, headers that were cut. */
function scenario(random: () => number, start: number): PacketBuilder {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
  const port = 40_000 + Math.floor(random() * 5)
  const six = random() < 0.5
  const client = six ? `[2001:db8::1]:${port}` : `192.0.2.1:${port}`
  const server = six ? '[2001:db8::2]:80' : '192.0.2.2:80'
  const isn = { client: pick([1000, 1000, 77_777]), server: 5000 }
  const capture = packets({ client, server, isn, start: 1_700_000_000 + start })
  const kind = Math.floor(random() * 4)
  if (kind === 0) return capture.handshake().client('hello').ack('server').close()
  if (kind === 1)
    return capture
      .syn()
      .drop()
      .client(pick([1, 30]), { dataOffset: pick([0, 4, 16, 20, 28, 60]) })
  const headerBytes = six ? 40 : 20
  if (kind === 2) {
    return capture
      .syn()
      .drop()
      .client('abcdef')
      .truncate(14 + headerBytes + Math.floor(random() * 26))
  }
  const quoted = packets({ client, server, isn })
  const [frame] = (random() < 0.5 ? quoted.syn({ mss: 1460 }) : quoted.client('xxxx')).list
  const quote = packetOf(frame!.bytes).subarray(0, Math.floor(random() * 70))
  const type = six ? pick([1, 2, 3, 4, 128]) : pick([3, 4, 5, 8, 11, 12])
  const error = joined([type, 0, 0, 0, 0, 0, 0, 0], quote)
  return capture.raw(outer(six ? ipv6(58, error) : ipv4(1, error)))
}

describe.skipIf(missing !== undefined)('numbers of streams', () => {
  it('are as many as Wireshark has, whatever names them', async () => {
    const random = seededRandom(7)
    for (let round = 0; round < 30; round++) {
      const capture = merge(...Array.from({ length: 8 }, (_, i) => scenario(random, i)))
      const file = join(directory, `${round}.pcapng`)
      writeFileSync(file, capture.pcapng())
      const rows = await withCapture(file, false, (loaded) => loaded.frames('tcp.stream', 'tcp.stream'))
      const streams = rows.flatMap(([numbers]) => numbers!.split(',')).filter((number) => number !== '')
      const theirs = Math.max(-1, ...streams.map(Number)) + 1
      const { summary, streams: ours } = await follow(capture)
      expect(summary.conversations, `round ${round}`).toBe(theirs)
      // Each has its reports, in order.
      expect(ours.map(({ stream }) => stream)).toEqual(Array.from({ length: 2 * theirs }, (_, i) => i >>> 1))
    }
  })
})
