import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativeOrNull } from '../../../driver/native/index.ts'
import {
  NetdevLink,
  type NetlinkAttribute,
  numberAttribute,
  readAttributes,
  readReceiveQueue,
  readXdpFeatures,
  writeAttributes,
} from '../../../driver/netlink/index.ts'

const native = nativeOrNull()
if (native === null) console.warn('asking the kernel about queues is skipped: the native addon is not built')

/** NETDEV_A_QUEUE_*: id, ifindex, type; 0 is a receive queue. */
const queue = (id: number, type: number, ...more: NetlinkAttribute[]): Map<number, Uint8Array> =>
  readAttributes(
    writeAttributes([numberAttribute(1, id), numberAttribute(3, type), numberAttribute(2, 4), ...more]),
  )
const nest = (type: number, ...inside: NetlinkAttribute[]): NetlinkAttribute => [
  type | 0x8000,
  writeAttributes(inside),
]

describe('a queue of the family netdev', () => {
  it('is nobody’s', () => {
    expect(readReceiveQueue(queue(2, 0), 4)).toEqual({ id: 2, napiId: null, holder: null, bufferBytes: null })
    expect(readReceiveQueue(queue(2, 0, numberAttribute(4, 8195)), 4)).toMatchObject({ napiId: 8195 })
  })

  it('is held by who the nest says, empty or not', () => {
    expect(readReceiveQueue(queue(1, 0, nest(6)), 4)).toMatchObject({ holder: 'io_uring', bufferBytes: null })
    expect(readReceiveQueue(queue(1, 0, nest(6, numberAttribute(1, 8192))), 4)).toMatchObject({
      holder: 'io_uring',
      bufferBytes: 8192,
    })
    expect(readReceiveQueue(queue(1, 0, nest(7)), 4)).toMatchObject({ holder: 'af_xdp' })
    expect(readReceiveQueue(queue(1, 0, numberAttribute(5, 3)), 4)).toMatchObject({ holder: 'dmabuf' })
    expect(readReceiveQueue(queue(1, 0, nest(8, numberAttribute(1, 9))), 4)).toMatchObject({
      holder: 'lease',
    })
  })

  it('is not read from what is of another interface, sends, or is too short', () => {
    expect(readReceiveQueue(queue(1, 1), 4)).toBeNull()
    expect(readReceiveQueue(queue(1, 0), 5)).toBeNull()
    expect(readReceiveQueue(new Map([[1, Uint8Array.of(1, 0)]]), 4)).toBeNull()
    expect(readReceiveQueue(new Map(), 4)).toBeNull()
  })

  it('is read from whatever comes, cut anywhere', () => {
    const good = writeAttributes([
      numberAttribute(1, 1),
      numberAttribute(2, 4),
      numberAttribute(3, 0),
      nest(6, numberAttribute(1, 4096)),
    ])
    for (let end = 0; end <= good.length; end++) readReceiveQueue(readAttributes(good.subarray(0, end)), 4)
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 120 }),
        fc.nat(good.length - 1),
        fc.nat(255),
        (bytes, at, byte) => {
          readReceiveQueue(readAttributes(bytes), 4)
          const lying = good.slice()
          lying[at] = byte
          const read = readReceiveQueue(readAttributes(lying), 4)
          if (read !== null) expect(Number.isInteger(read.id)).toBe(true)
        },
      ),
      { seed: 11 },
    )
  })
})

it('reads XDP features, and unknown bits as nothing', () => {
  expect(readXdpFeatures(Uint8Array.of(0x2b, 0, 0, 0x80, 1, 0, 0, 0))).toEqual(
    new Set(['basic', 'redirect', 'xsk-zerocopy', 'rx-sg']),
  )
  expect(readXdpFeatures(Uint8Array.of(1, 0))).toBeNull()
  expect(readXdpFeatures(undefined)).toBeNull()
})

it.skipIf(native === null)('asks the kernel about the queues of the loopback', () => {
  const link = NetdevLink.open(native!, 1)
  if (link === null) return console.warn('skipped: the kernel has no netdev family (Linux 6.3)')
  const queues = link.receiveQueues()
  link.close()
  if (queues === null) return console.warn('skipped: the kernel tells nothing of queues (Linux 6.8)')
  for (const { id, holder } of queues) expect([id, holder]).toEqual([0, null])
})
