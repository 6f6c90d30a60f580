import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { freshSeed } from '../../driver/memory/index.ts'
import type { FrameImpairments } from '../../driver/wrap/index.ts'
import { ImpairedNic } from '../../driver/wrap/index.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import type { Endpoint } from '../support/endpoint.ts'
import { LONG } from '../support/long.ts'
import { cellRan, expectedOutcome, openEndpoint, reportCells, runCell } from '../support/matrix.ts'
import { PcapFile } from '../support/pcap.ts'
import { captureDirectory, faults } from '../support/tshark.ts'
import { XdpWay } from '../support/ways.ts'

const BYTES = LONG ? 4 << 20 : 2 << 20

afterAll(() => reportCells('impaired', obstacle))

const IMPAIRMENTS: readonly (readonly [string, FrameImpairments])[] = [
  ['loss of 1 %', { loss: 0.01 }],
  ['loss of 5 %', { loss: 0.05 }],
  ['loss of 10 %', { loss: 0.1 }],
  ['reordering', { reorder: 0.05 }],
  ['duplication', { duplicate: 0.05 }],
  ['corruption', { corrupt: 0.02 }],
  ['all of them', { loss: 0.02, reorder: 0.02, duplicate: 0.02, corrupt: 0.02 }],
]

describe.skipIf(obstacle !== '')('the stack against Linux over a bad path', () => {
  let pair: XdpWay
  let endpoint: Endpoint | null = null
  let directory: ReturnType<typeof captureDirectory> | null = null
  /** What the stack sends, before it is damaged on purpose. */
  let sent: PcapFile
  beforeAll(() => {
    directory = captureDirectory()
    sent = new PcapFile(join(directory.path, 'sent.pcap'))
    pair = new XdpWay({ ipv6: true })
    // Frames that the stack gets damaged must have had complete checksums.
    pair.run(pair.peer, 'ethtool', '-K', pair.peerDevice, 'tx', 'off')
  })
  afterEach(() => {
    endpoint?.close()
    endpoint = null
  })
  afterAll(() => {
    directory?.remove()
    pair?.destroy()
  })

  const cells = IMPAIRMENTS.flatMap(([name, impairments], i) => {
    const opens = i % 2 === 0 ? 'Linux' : 'we'
    return ([4, 6] as const).map((version) => [name, version, opens, impairments] as const)
  })
  it.each(cells)(
    '%s in both directions, IPv%i, %s opens',
    async (name, version, opens, impairments) => {
      const seed = freshSeed()
      console.log(`${name}, IPv${version}: seed ${seed}`)
      let impaired: ImpairedNic | null = null
      const ours = openEndpoint(pair, {
        version,
        own: true,
        wrap: (nic) => {
          impaired = new ImpairedNic(nic, {
            seed,
            receive: impairments,
            transmit: impairments,
            tap: (frame) => sent.add(frame),
          })
          return impaired
        },
      })
      endpoint = ours
      const cell = { opens, closes: opens, version, send: BYTES, receive: BYTES } as const
      expect(await runCell(pair, ours, cell, 90_000)).toEqual(expectedOutcome(cell))
      const kinds = [
        ['loss', 'dropped'],
        ['reorder', 'reordered'],
        ['duplicate', 'duplicated'],
        ['corrupt', 'corrupted'],
      ] as const
      for (const [kind, counted] of kinds) {
        if (impairments[kind] === undefined) continue
        expect(impaired!.received[counted], `received, ${counted}`).toBeGreaterThan(0)
        expect(impaired!.sent[counted], `sent, ${counted}`).toBeGreaterThan(0)
      }
      const { lost, rx, queued, user } = ours.census()
      expect({ lost, rx, queued, user }).toEqual({ lost: 0, rx: 0, queued: 0, user: 0 })
      cellRan()
    },
    100_000,
  )

  it('tshark finds no fault with what the stack sent meanwhile', () => {
    sent.close()
    expect(sent.frames).toBeGreaterThan(1000)
    expect(faults(sent.path)).toEqual([])
    cellRan()
  }, 60_000)
})
