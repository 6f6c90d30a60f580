import fc from 'fast-check'
import { expect, it } from 'vitest'
import { nativeOrNull } from '../../../driver/native/index.ts'
import {
  attributeNumber,
  bitNames,
  GENERIC_HEADER_BYTES,
  GenericFamily,
  listAttributes,
  numberAttribute,
  readXdpFeatures,
  writeAttributes,
} from '../../../driver/netlink/index.ts'
import { driverFeatures } from '../../../host/examine/features.ts'
import { interruptNames, linkFacts } from '../../../host/examine/link.ts'
import { machineFacts } from '../../../host/examine/machine.ts'
import { holdersOfRings } from '../../../host/examine/rings.ts'

const native = nativeOrNull()
if (native === null) console.warn('netlink tests are skipped: the native addon is not built')

const text = (name: string): Uint8Array => new TextEncoder().encode(`${name}\0`)

it('reads the names of the bits that are set', () => {
  const bit = (name: string, set: boolean): Uint8Array =>
    writeAttributes([
      [1, new Uint8Array(4)],
      [2, text(name)],
      ...(set ? [[3, new Uint8Array(0)] as const] : []),
    ])
  const bits = writeAttributes([
    [1, bit('rx-gro', true)],
    [1, bit('rx-lro', false)],
    [1, writeAttributes([])],
  ])
  const [withoutMask, withMask] = [
    writeAttributes([
      [1, new Uint8Array(0)],
      [3, bits],
    ]),
    writeAttributes([[3, bits]]),
  ]
  expect([...bitNames(withoutMask)]).toEqual(['rx-gro', 'rx-lro'])
  expect([...bitNames(withMask)]).toEqual(['rx-gro'])
  expect(bitNames(undefined).size).toBe(0)
})

it('reads XDP features, and unknown bits as nothing', () => {
  expect(readXdpFeatures(Uint8Array.of(0x2b, 0, 0, 0x80, 1, 0, 0, 0))).toEqual(
    new Set(['basic', 'redirect', 'xsk-zerocopy', 'rx-sg']),
  )
  expect(readXdpFeatures(Uint8Array.of(1, 0))).toBeNull()
  expect(readXdpFeatures(undefined)).toBeNull()
})

it('survives whatever comes as attributes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      bitNames(bytes)
      readXdpFeatures(bytes)
      const total = listAttributes(bytes).reduce(
        (sum, [, value]) => sum + value.length + GENERIC_HEADER_BYTES,
        0,
      )
      expect(total).toBeLessThanOrEqual(bytes.length)
    }),
    { seed: 7 },
  )
})

it('reads the names of interrupts', () => {
  const names = interruptNames(
    '           CPU0       CPU1\n 41:      12396          0 PCI-MSIX-0000:00:04.0   1-edge      virtio3-rx\nNMI:  0  0   Non-maskable interrupts\n',
  )
  expect([...names]).toEqual([[41, 'virtio3-rx']])
})

it.skipIf(native === null)('asks the kernel about the loopback', () => {
  const link = linkFacts(native!, 'lo')
  if ('missing' in link) throw new Error(link.missing)
  expect(link.info.loopback).toBe(true)
  // Every kernel since 5.7 has these; where not, they are not known.
  if (link.features.offloads !== null) expect(link.features.offloads).toContain('loopback')
  expect(linkFacts(native!, 'nope0')).toEqual({ missing: 'there is no such interface' })
  expect(driverFeatures(native!, 0x7fff_ffff)).toMatchObject({ offloads: null, channels: null, xdp: null })
})

it.skipIf(native === null)('finds families, and not others', () => {
  using controller = GenericFamily.open(native!, 'nlctrl')
  expect(controller).not.toBeNull()
  expect(controller!.ask(200, [])).toBeLessThan(0)
  expect(GenericFamily.open(native!, 'zcrx-nonesuch')).toBeNull()
})

it.skipIf(native === null)('keeps an answer beyond the acknowledgement of the request', () => {
  using netdev = GenericFamily.open(native!, 'netdev')
  if (netdev === null) return console.warn('skipped: the kernel has no netdev family (Linux 6.3)')
  const answer = netdev.ask(1, [numberAttribute(1, 1)])
  if (typeof answer === 'number') throw new Error(`errno ${-answer}`)
  expect(attributeNumber(answer.get(1))).toBe(1)
})

it.skipIf(native === null)('names who has a ring', () => {
  expect(holdersOfRings().filter((holder) => holder.startsWith(`pid ${process.pid} `))).toEqual([])
  const ring = native!.uringSetup(1, new Uint8Array(120))
  if (ring < 0) return console.warn(`skipped: no io_uring here (errno ${-ring})`)
  const holders = holdersOfRings()
  native!.close(ring)
  expect(holders).toContainEqual(expect.stringMatching(new RegExp(`^pid ${process.pid} \\(.+\\)$`)))
})

it('never throws for what the machine lacks', () => {
  const facts = machineFacts()
  expect(facts.kernel).toMatch(/^\d+\.\d+/)
  expect(facts.cpus).toBeGreaterThan(0)
  expect(facts.cores).toBeGreaterThan(0)
  expect(facts.memlock.soft).toBeLessThanOrEqual(facts.memlock.hard)
})
