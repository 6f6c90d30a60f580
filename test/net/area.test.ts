import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { type Connected, connected } from '../support/connected.ts'

let pair: Connected | undefined
afterEach(() => pair?.close())

/** `count(at, length, byte)` of a module that counts a byte in its memory, `js.memory`; `examples/` has its text. */
const COUNTER = Buffer.from(
  'AGFzbQEAAAABCAFgA39/fwF/Ag4BAmpzBm1lbW9yeQIAAQMCAQAHCQEFY291bnQAAAowAS4BAX8CQANAIAFFDQEgAyAALQAAIAJGaiEDIABBAWohACABQQFrIQEMAAsLIAML',
  'base64',
)

describe('an area of the program’s choice', () => {
  it('is a WebAssembly.Memory, in which a module reads what was received', async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 400 })
    const { instance } = await WebAssembly.instantiate(COUNTER, { js: { memory } })
    const count = instance.exports.count as (at: number, length: number, byte: number) => number
    pair = await connected({ area: memory, areaBytes: 1 << 20 })
    expect(pair.server.area.buffer).toBe(memory.buffer)
    // What the module has in front of it stays its own.
    expect(pair.server.area.byteOffset).toBe(65_536)
    const { near, there } = await pair.open()
    const data = randomBytes(400_000)
    void near.send(data).then(() => near.close())
    let found = 0
    for await (const views of there.batches())
      for (const { byteOffset, length } of views) found += count(byteOffset, length, 10)
    expect(found).toBe(data.filter((byte) => byte === 10).length)
    expect(pair.server.stats().copiedBytes).toBe(0)
  })

  it.each(['SharedArrayBuffer', 'ArrayBuffer', 'Uint8Array'])('is a %s', async (kind) => {
    const bytes = (2 << 20) + (1 << 20)
    const area = {
      SharedArrayBuffer: () => new SharedArrayBuffer(bytes),
      ArrayBuffer: () => new ArrayBuffer(bytes),
      Uint8Array: () => new Uint8Array(bytes),
    }[kind]!()
    pair = await connected({ area, areaBytes: 1 << 20 })
    const { near, there } = await pair.open()
    const data = randomBytes(300_000)
    void near.send(data).then(() => near.close())
    const parts: Uint8Array[] = []
    for await (const { bytes: view } of there) {
      expect(view.buffer).toBe(area instanceof Uint8Array ? area.buffer : area)
      parts.push(view.slice())
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
  })

  it('is refused, with what is needed, when it can’t serve', async () => {
    const refused = (options: object): Promise<unknown> => connected(options)
    await expect(refused({ area: new ArrayBuffer(4096) })).rejects.toThrow(
      /the memory has 4096 bytes: \d+ are needed/,
    )
    await expect(refused({ area: new ArrayBuffer(1 << 20), areaBytes: 2 << 20 })).rejects.toThrow(
      'are needed',
    )
    await expect(
      refused({ area: new WebAssembly.Memory({ initial: 1, maximum: 2 }), areaBytes: 1 << 20 }),
    ).rejects.toThrow('can’t grow by')
    await expect(refused({ area: 7 })).rejects.toThrow('area 7 is not an object')
  })
})
