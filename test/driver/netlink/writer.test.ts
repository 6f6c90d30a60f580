import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readAttributes, readMessages } from '../../../driver/netlink/message.ts'
import { NetlinkWriter, NFGEN_BYTES } from '../../../driver/netlink/writer.ts'

test('messages and attributes are read as they were written', () => {
  const attribute = fc.record({
    type: fc.integer({ min: 1, max: 0x3fff }),
    value: fc.uint8Array({ maxLength: 40 }),
  })
  const message = fc.record({
    type: fc.nat(0xffff),
    sequence: fc.nat(),
    attributes: fc.uniqueArray(attribute, { selector: ({ type }) => type, maxLength: 6 }),
  })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
      const writer = new NetlinkWriter()
      for (const { type, sequence, attributes } of messages)
        writer.message(type, 0, sequence, 1, 0, () => {
          for (const { type: kind, value } of attributes) writer.bytes(kind, value)
        })
      const read = readMessages(writer.finish()).map(({ type, sequence, body }) => ({
        type,
        sequence,
        attributes: [...readAttributes(body, NFGEN_BYTES)].map(([kind, value]) => ({
          type: kind,
          value: Uint8Array.from(value),
        })),
      }))
      expect(read).toEqual(
        messages.map((one) => ({
          ...one,
          attributes: one.attributes.map((a) => ({ type: a.type, value: Uint8Array.from(a.value) })),
        })),
      )
    }),
    { seed: 5, numRuns: 100 },
  )
})

test('a message as the kernel wants it', () => {
  const writer = new NetlinkWriter()
  writer.message(0x0a00, 4, 7, 1, 10, () => {
    writer.text(1, 'abc').nested(2, () => writer.number(3, -300))
  })
  expect(Buffer.from(writer.finish()).toString('hex').match(/.{8}/g)).toEqual([
    '28000000', // length
    '000a0500', // type, flags with NLM_F_REQUEST
    '07000000', // sequence
    '00000000', // port
    '0100000a', // family, version, resource in network order
    '08000100', // text of eight bytes
    '61626300',
    '0c000280', // nested
    '08000300',
    'fffffed4', // network order
  ])
})

test('whatever the bytes are, reading ends inside them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const { body } of readMessages(bytes)) {
        expect(body.length).toBeLessThanOrEqual(bytes.length)
        for (const value of readAttributes(body, NFGEN_BYTES).values())
          expect(value.length).toBeLessThanOrEqual(body.length)
      }
    }),
    { seed: 6, numRuns: 500 },
  )
})
