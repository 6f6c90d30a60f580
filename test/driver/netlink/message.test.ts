import { assert, property, uint8Array } from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  AF_INET,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  NTF_USE,
  neighboursOn,
  numberAttribute,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  readAttributes,
  readMessages,
  readRoute,
  useNeighbour,
  writeMessage,
} from '../../../driver/netlink/index.ts'

const TYPES = [2, 3, 16, 17, 20, 21, 24, 25, 28, 29]

describe('netlink messages', () => {
  it('are read as they are written', () => {
    const bytes = writeMessage(RTM_NEWNEIGH, NLM_F_REQUEST, 7, Uint8Array.of(1, 2, 3, 4), [
      [1, Uint8Array.of(10, 77, 0, 1)],
      [2, Uint8Array.of(2, 0, 0, 0, 0, 9)],
      numberAttribute(4, 0x01020304),
    ])
    const [message, ...more] = readMessages(bytes)
    expect(more).toEqual([])
    expect(message).toMatchObject({ type: RTM_NEWNEIGH, flags: NLM_F_REQUEST, sequence: 7 })
    const attributes = readAttributes(message!.body, 4)
    expect([...attributes.get(2)!]).toEqual([2, 0, 0, 0, 0, 9])
    expect([...attributes.get(4)!]).toEqual([4, 3, 2, 1])
    // The attribute of six bytes is padded, the message's length is that of all.
    expect(bytes.length).toBe(16 + 4 + 8 + 12 + 8)
  })

  it('that lie about their lengths end the walk', () => {
    const one = writeMessage(NLMSG_ERROR, 0, 1, new Uint8Array(4))
    const two = writeMessage(NLMSG_ERROR, 0, 2, new Uint8Array(4))
    const both = Uint8Array.from([...one, ...two])
    expect(readMessages(both).map(({ sequence }) => sequence)).toEqual([1, 2])
    new DataView(both.buffer).setUint32(20, 21, true)
    expect(readMessages(both).map(({ sequence }) => sequence)).toEqual([1])
    new DataView(both.buffer).setUint32(0, 15, true)
    expect(readMessages(both)).toEqual([])
    const attributes = Uint8Array.from([8, 0, 1, 0, 1, 1, 1, 1, 3, 0, 2, 0])
    expect([...readAttributes(attributes).keys()]).toEqual([1])
  })

  it('of any bytes are read or ignored, never thrown about', () => {
    assert(
      property(uint8Array({ maxLength: 200 }), (bytes) => {
        for (const message of readMessages(bytes)) readRoute(message)
        for (const type of TYPES) {
          const read = readRoute({ type, flags: 0, sequence: 0, body: bytes })
          if (read === null || read.kind === 'link') continue
          const address = read.kind === 'route' ? read.prefix : read.address
          expect([4, 16]).toContain(address.length)
          if (read.kind !== 'neighbour') expect(read.prefixLength).toBeLessThanOrEqual(address.length * 8)
          if (read.kind === 'neighbour' && read.mac !== null) expect(read.mac.length).toBe(6)
        }
      }),
      { numRuns: 3000, seed: 11 },
    )
  })

  it('a default route has a prefix of zeros, one without an interface is none', () => {
    const body = Uint8Array.of(AF_INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0)
    const write = (...attributes: Parameters<typeof writeMessage>[4] & object): Uint8Array =>
      writeMessage(RTM_NEWROUTE, 0, 0, body, attributes)
    const gateway = [5, Uint8Array.of(10, 77, 0, 1)] as const
    const read = (bytes: Uint8Array) => readRoute(readMessages(bytes)[0]!)
    expect(read(write(gateway, numberAttribute(4, 3)))).toMatchObject({
      ifIndex: 3,
      prefix: new Uint8Array(4),
      prefixLength: 0,
      gateway: Uint8Array.of(10, 77, 0, 1),
      table: 254,
      unicast: true,
      mtu: 0,
    })
    expect(read(write(gateway))).toBeNull()
  })

  it('requests have the flags and interface where the kernel looks for them', () => {
    const use = useNeighbour(5, Uint8Array.of(10, 0, 0, 1))
    expect([use.body[0], use.body[4], use.body[10]]).toEqual([AF_INET, 5, NTF_USE])
    expect(neighboursOn(6).attributes).toEqual([[8, Uint8Array.of(6, 0, 0, 0)]])
  })
})
