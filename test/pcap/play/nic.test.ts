import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { openDevice } from '../../../host/devices/index.ts'
import { PcapNic } from '../../../pcap/play/index.ts'
import { type Sample, samples } from '../../../pcap/samples/samples.ts'
import { CaptureNic } from '../../../pcap/tap/index.ts'
import { tshark } from '../../support/tshark.ts'
import { tsharkDigests } from '../../support/tshark-follow.ts'
import { type Played, parseEndpoint, playTo } from './support.ts'

const DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), '../../../pcap/samples')

function sampleOf(file: string): Sample {
  return samples.find((sample) => sample.file === file)!
}

/** SHA-256 of what each client sent, by its endpoint, those of reused ports in order. */
async function expected(sample: Sample): Promise<string[]> {
  const theirs = await tsharkDigests(join(DIRECTORY, sample.file), sample.conversations.length)
  return sample.conversations
    .map(({ client }, number) => `${client} ${theirs.get(`${number} ${client}`)!.sha256}`)
    .sort()
}

function digests(played: Played): string[] {
  return played.streams
    .map(({ remote, bytes }) => `${remote} ${createHash('sha256').update(bytes).digest('hex')}`)
    .sort()
}

describe('a capture that is played', () => {
  it('waits for a window that is smaller than the captured one', async () => {
    for (const file of ['bulk.pcap', 'offload.pcap', 'sack.pcap', 'jumbo.pcap']) {
      const sample = sampleOf(file)
      const endpoint = parseEndpoint(sample.conversations[0]!.server)
      const played = await playTo({ file: join(DIRECTORY, file), ...endpoint, areaBytes: 16 * 4096 })
      expect(digests(played)).toEqual(await expected(sample))
      const { rxFillEmpty, rxRingFull } = played.nic.stats()
      expect([rxFillEmpty, rxRingFull]).toEqual([0, 0])
    }
  })

  it('is played to its fault, which is told', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zcrx-play-'))
    try {
      const file = join(folder, 'short.pcap')
      const bytes = readFileSync(join(DIRECTORY, 'bulk.pcap'))
      writeFileSync(file, bytes.subarray(0, bytes.length >> 1))
      const played = await playTo({ file, address: '192.0.2.2', port: 80 })
      expect(played.failed?.code).toBe('PCAP_TRUNCATED')
      expect(played.nic.ended).toBe(true)
      const whole = await playTo({ file: join(DIRECTORY, 'bulk.pcap'), address: '192.0.2.2', port: 80 })
      const [part, all] = [played.streams[0]!.bytes, whole.streams[0]!.bytes]
      expect(part.length).toBeGreaterThan(10_000)
      expect(part.length).toBeLessThan(all.length)
      expect(part.equals(all.subarray(0, part.length))).toBe(true)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('that is no capture is told, too', async () => {
    const nic = PcapNic.open(fileURLToPath(import.meta.url))
    await expect.poll(() => nic.failed?.code).toBe('PCAP_FORMAT')
    expect(nic.ended).toBe(true)
    nic.close()
    expect(() => openDevice('pcap:/nowhere/at.all')).toThrow(/can't be opened \(ENOENT\)/)
  })

  it('counts what it does not play', async () => {
    const middle = await playTo({ file: join(DIRECTORY, 'middle.pcap'), address: '192.0.2.2', port: 80 })
    expect(middle.streams).toEqual([])
    expect(middle.nic.notPlayed.unopened).toBeGreaterThan(0)
    const elsewhere = await playTo({ file: join(DIRECTORY, 'bulk.pcap'), address: '192.0.2.77', port: 80 })
    expect(elsewhere.streams).toEqual([])
    expect(elsewhere.nic.notPlayed.elsewhere).toBe(58)
    expect(elsewhere.nic.stats().rxDropped).toBe(58)
    const cut = await playTo({ file: join(DIRECTORY, 'snaplen.pcap'), address: '192.0.2.2', port: 80 })
    expect(cut.nic.notPlayed.cut).toBeGreaterThan(0)
  })

  it('gives up a connection of which bytes are missing, and resets it', async () => {
    const played = await playTo({ file: join(DIRECTORY, 'missing.pcap'), address: '192.0.2.2', port: 80 })
    expect(played.nic.ended).toBe(true)
    expect(played.streams.map(({ bytes, errno }) => [bytes.length, errno])).toEqual([[2896, 104]])
    expect(played.lost).toBe(0)
  })

  it('keeps its VLAN tags', async () => {
    const sample = sampleOf('vlan.pcap')
    const file = join(DIRECTORY, sample.file)
    const [id] = tshark(file, '-T', 'fields', '-e', 'vlan.id')
    const played = await playTo({ file, address: '192.0.2.2', port: 80, ip: { vlan: [Number(id)] } })
    expect(digests(played)).toEqual(await expected(sample))
  })

  it('is one that CaptureNic has made', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zcrx-play-'))
    try {
      const file = join(folder, 'again.pcapng')
      const first = new CaptureNic(openDevice(`pcap:${join(DIRECTORY, 'loss.pcap')}`), { file })
      const sample = sampleOf('loss.pcap')
      await playTo({ nic: first, address: '192.0.2.2', port: 80 })
      const again = await playTo({ file, address: '192.0.2.2', port: 80 })
      expect(digests(again)).toEqual(await expected(sample))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
