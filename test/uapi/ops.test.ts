import { describe, expect, it } from 'vitest'
import { isServed, OPCODE_COUNT } from '../../uapi/kernel/ops/dispatch.ts'
import * as ops from '../../uapi/kernel/ops/index.ts'

describe('the index of opcodes', () => {
  it('has each code once, and all that it has is served', () => {
    const codes = Object.values(ops).map((op) => op.code)
    expect(new Set(codes).size).toBe(codes.length)
    const served = Array.from({ length: 256 }, (_, code) => code).filter(isServed)
    expect(served).toEqual(codes.sort((a, b) => a - b))
    expect(OPCODE_COUNT).toBe(served.at(-1)! + 1)
  })
})
