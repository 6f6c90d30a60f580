import fc from 'fast-check'
import { expect, it } from 'vitest'
import { bitNames, driverFeatures, readXdpFeatures } from '../../../driver/examine/features.ts'
import { interruptNames, linkFacts } from '../../../driver/examine/link.ts'
import { machineFacts } from '../../../driver/examine/machine.ts'
import { nativeOrNull } from '../../../driver/native/index.ts'
import {
  GENERIC_HEADER_BYTES,
  GenericFamily,
  listAttributes,
  writeAttributes,
} from '../../../driver/netlink/index.ts'

const native = nativeOrNull()
if (native === null) console.warn('netlink tests are skipped: the native addon is not built')

const text = (name: string): Uint8Array => new TextEncoder().encode(`${name}\0`)

it('reads the names of a bitset in order', () => {
  const bit = (name: string): Uint8Array =>
    writeAttributes([
      [1, Uint8Array.of(1, 0, 0, 0)],
      [2, text(name)],
    ])
  const bits = writeAttributes([
    [1, bit('rx-gro')],
    [1, bit('rx-lro')],
    [1, writeAttributes([])],
  ])
  expect([
    ...bitNames(
      writeAttributes([
        [1, new Uint8Array(0)],
        [3, bits],
      ]),
    ),
  ]).toEqual(['rx-gro', 'rx-lro'])
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

it('never throws for what the machine lacks', () => {
  const facts = machineFacts()
  expect(facts.kernel).toMatch(/^\d+\.\d+/)
  expect(facts.cpus).toBeGreaterThan(0)
  expect(facts.memlock.soft).toBeLessThanOrEqual(facts.memlock.hard)
})
