import { describe, expect, test } from 'vitest'
import { Assembler, reg } from '../../../driver/xdp/asm.ts'
import { hex } from './frames.ts'

const encode = (build: (asm: Assembler) => unknown): string => {
  const asm = new Assembler()
  build(asm)
  return hex(asm.assemble())
}

// Worked out by hand from RFC 9669: opcode, src << 4 | dst, offset (16, little-endian), immediate (32).
describe('encoding', () => {
  test.each<[string, (asm: Assembler) => unknown, string]>([
    ['r0 = 2', (asm) => asm.mov(0, 2), 'b7 00 0000 02000000'],
    ['r6 = r1', (asm) => asm.mov(6, reg(1)), 'bf 16 0000 00000000'],
    ['r2 += -24', (asm) => asm.alu('add', 2, -24), '07 02 0000 e8ffffff'],
    ['r9 += r1', (asm) => asm.alu('add', 9, reg(1)), '0f 19 0000 00000000'],
    ['r1 &= 15', (asm) => asm.alu('and', 1, 15), '57 01 0000 0f000000'],
    ['r1 <<= 2', (asm) => asm.alu('lsh', 1, 2), '67 01 0000 02000000'],
    ['r3 >>= 4', (asm) => asm.alu('rsh', 3, 4), '77 03 0000 04000000'],
    ['r7 = *(u32 *)(r6 + 0)', (asm) => asm.ldx(4, 7, 6, 0), '61 67 0000 00000000'],
    ['r5 = *(u16 *)(r2 + 12)', (asm) => asm.ldx(2, 5, 2, 12), '69 25 0c00 00000000'],
    ['r3 = *(u8 *)(r2 + 9)', (asm) => asm.ldx(1, 3, 2, 9), '71 23 0900 00000000'],
    ['*(u32 *)(r10 - 12) = r3', (asm) => asm.stx(4, 10, -12, 3), '63 3a f4ff 00000000'],
    ['*(u64 *)(r10 - 24) = 0', (asm) => asm.st(8, 10, -24, 0), '7a 0a e8ff 00000000'],
    ['call 51', (asm) => asm.call(51), '85 00 0000 33000000'],
    ['exit', (asm) => asm.exit(), '95 00 0000 00000000'],
    ['r1 = map[fd 7]', (asm) => asm.loadMap(1, 7), '18 11 0000 07000000 00 00 0000 00000000'],
  ])('%s', (_, build, expected) => {
    expect(encode(build)).toBe(expected.replaceAll(' ', ''))
  })

  test('jumps count from the instruction behind them, over the two slots of a map reference', () => {
    const program = encode((asm) =>
      asm
        .label('top')
        .jump('eq', 5, 8, 'end')
        .jump('gt', 3, reg(8), 'top')
        .loadMap(1, 3)
        .goto('end')
        .mov(0, 0)
        .label('end')
        .exit(),
    )
    expect(program.match(/.{16}/g)!.slice(0, 2)).toEqual(['1505050008000000', '2d83feff00000000'])
    expect(program.match(/.{16}/g)![4]).toBe('0500010000000000')
  })
})

test('mistakes are reported, not encoded', () => {
  expect(() => new Assembler().goto('nowhere').assemble()).toThrow('nowhere')
  expect(() => new Assembler().label('a').label('a')).toThrow('twice')
  expect(() => new Assembler().mov(0, 2 ** 31)).toThrow(RangeError)
  expect(() => new Assembler().ldx(4, 0, 1, 40000)).toThrow(RangeError)
})
