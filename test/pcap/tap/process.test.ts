import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import type { CapturedPacket } from '../../../pcap/file/packet.ts'
import { noCaptureTools, packetFields } from '../../support/capture-tools.ts'
import { captureDirectory } from '../../support/tshark.ts'
import { packetsOf, statisticsOf } from './support.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.log(`skipped: what Wireshark says of captures (${missing})`)
const directory = captureDirectory()
afterAll(() => directory.remove())

interface Ended {
  packets: CapturedPacket[]
  /** Of the NIC, when the process ended. */
  received: number
  sent: number
  code: number | null
  stderr: string
  file: string
}

/** Lets a process of its own capture, and ends it in that way. */
async function end(how: 'throw' | 'exit' | 'stay'): Promise<Ended> {
  const file = join(directory.path, `${how}.pcapng`)
  const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
  const child = spawn(process.execPath, [path('../../support/child.mjs'), path('./child.ts'), file, how], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (part) => {
    stderr += part
  })
  const closed = once(child, 'close')
  child.stdout.on('data', (part) => {
    stdout += part
    if (how === 'stay' && stdout.endsWith('\n')) child.kill('SIGKILL')
  })
  const [code] = (await closed) as [number | null]
  const [received, sent] = stdout.trim().split(' ').map(Number)
  const packets = await packetsOf(file)
  if (missing === undefined) {
    const { rows, complaint } = packetFields(file, 'frame.number')
    expect(complaint).toBe('')
    expect(rows).toHaveLength(packets.length)
  }
  return { packets, received: received!, sent: sent!, code, stderr, file }
}

const inbound = (packets: CapturedPacket[]): string[][] =>
  packets.filter((packet) => packet.direction === 1).map((packet) => packet.comments[0]!.split('; '))

describe('a process that', () => {
  it('dies of an exception leaves every frame, and says which were not done with', async () => {
    const { packets, received, sent, code, stderr, file } = await end('throw')
    expect(code).toBe(1)
    expect(stderr).toContain('a fault of the stack')
    expect(packets).toHaveLength(received + sent)
    const unsettled = 'not settled: the stack did not say what became of it'
    expect(inbound(packets).map(([first]) => first === unsettled)).toEqual([
      ...new Array(received - 2).fill(false),
      true,
      true,
    ])
    expect(inbound(packets).at(-2)![1]).toBe('192.0.2.1:50000 > 192.0.2.2:7')
    expect(statisticsOf(readFileSync(file))).toMatchObject([{ received, ended: true }])
  }, 30_000)

  it('ends in the middle of a burst leaves every frame', async () => {
    const { packets, received, sent, code } = await end('exit')
    expect(code).toBe(3)
    expect(packets).toHaveLength(received + sent)
  }, 30_000)

  it('is killed when it is idle leaves every frame', async () => {
    const { packets, received, sent, code, file } = await end('stay')
    expect(code).toBeNull()
    expect(packets).toHaveLength(received + sent)
    expect(received).toBeGreaterThan(6)
    // Nobody was there to write them.
    expect(statisticsOf(readFileSync(file))).toEqual([])
  }, 30_000)
})
