import { describe, expect, it } from 'vitest'
import type { NicInfo } from '../../driver/nic.ts'
import { registerArea } from '../../net/register-area.ts'
import type { Ring } from '../../uapi/ring/ring.ts'

const MIB = 1 << 20

/** Bytes of a buffer that an area of so many bytes is registered with. */
function bufferOf(info: Partial<NicInfo>, areaBytes: number, bufferBytes?: number): number {
  let rxBufLen = 0
  const ring = {
    query: () => -1,
    registerIfq: (request: { rxBufLen: number }) => {
      rxBufLen = request.rxBufLen
      return {}
    },
  } as unknown as Ring
  const options = bufferBytes === undefined ? {} : { bufferBytes }
  registerArea(ring, { ifIndex: 1, queue: 0, ...info } as NicInfo, options, new Uint8Array(areaBytes))
  return rxBufLen
}

describe('buffers of an area', () => {
  const split = { placement: 'split', chunkBytes: 32_768 } as const

  it('are what suits the NIC, where there are enough for frames that have theirs to themselves', () => {
    expect([2, 8 - 1 / 16, 8, 64].map((mib) => bufferOf(split, mib * MIB))).toEqual([
      4096, 4096, 32_768, 32_768,
    ])
    expect(bufferOf(split, 8 * MIB + 4096)).toBe(4096)
  })

  it('are so in any area where payload is copied into them', () => {
    const side = { placement: 'side', chunkBytes: 32_768 } as const
    expect([bufferOf(side, MIB), bufferOf(side, MIB + 4096)]).toEqual([32_768, 4096])
  })

  it('are pages where the NIC says nothing, and as large as was said', () => {
    expect(bufferOf({ placement: 'area' }, 64 * MIB)).toBe(4096)
    expect([bufferOf(split, MIB, 65_536), bufferOf(split, 64 * MIB, 4096)]).toEqual([65_536, 4096])
  })
})
