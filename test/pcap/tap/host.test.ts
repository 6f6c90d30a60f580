import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { MemoryLink } from '../../../driver/memory/index.ts'
import { createServer } from '../../../net/open.ts'
import { CaptureNic } from '../../../pcap/tap/index.ts'
import { capinfos, noCaptureTools } from '../../support/capture-tools.ts'
import { connect } from '../../support/client.ts'
import { captureDirectory, faults, tshark } from '../../support/tshark.ts'
import { packetsOf } from './support.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.log(`skipped: what Wireshark says of captures (${missing})`)
const directory = captureDirectory()
afterAll(() => directory.remove())

it.each([
  ['192.0.2.1', '192.0.2.2'],
  ['2001:db8::1', '2001:db8::2'],
])('a server on %s and its client, both captured in real time', async (address, remote) => {
  const link = new MemoryLink({ seed: 1, mtu: 9000, ends: { b: { placement: 'split' } } })
  const files = ['server', 'client'].map((name) => join(directory.path, `${name}-${address}.pcapng`))
  const [serverNic, clientNic] = [
    new CaptureNic(link.b, { file: files[0]! }),
    new CaptureNic(link.a, { file: files[1]! }),
  ]
  const server = await createServer({ device: serverNic, address, ownAddress: true, port: 9000 })
  const client = await connect({
    device: clientNic,
    address: remote,
    ownAddress: true,
    remoteAddress: address,
    remotePort: 9000,
  })
  await client.send(0, new Uint8Array(500_000).fill(7))
  await client.end(0)
  for await (const connection of server) {
    let bytes = 0
    for await (const chunk of connection) bytes += chunk.bytes.length
    expect(bytes).toBe(500_000)
    break
  }
  client.close()
  await server.close()
  for (const [i, nic] of [serverNic, clientNic].entries()) {
    const { rxFrames, txFrames } = nic.stats()
    expect([nic.captured, nic.missed]).toEqual([{ received: rxFrames, sent: txFrames }, 0])
    expect(await packetsOf(files[i]!)).toHaveLength(rxFrames + txFrames)
    if (missing !== undefined) continue
    expect(capinfos(files[i]!)['Number of packets']).toBe(`${rxFrames + txFrames}`)
    expect(faults(files[i]!)).toEqual([])
  }
  if (missing !== undefined) return
  const followed = tshark(files[0]!, '-q', '-z', 'follow,tcp,raw,0')
  const hex = followed.filter((line) => /^[0-9a-f]+$/.test(line)).join('')
  expect(hex).toBe('07'.repeat(500_000))
})
