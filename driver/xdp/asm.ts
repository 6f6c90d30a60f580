/**
 * A small eBPF assembler: registers, arithmetic, loads and stores, jumps with labels, helper calls, map references.
 * Encoding: Documentation/bpf/standardization/instruction-set.rst (RFC 9669). Little-endian machines.
 */

/** r0 result, r1..r5 arguments (clobbered by calls), r6..r9 kept over calls, r10 frame pointer (read-only). */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10
/** Bytes that a load or store moves. */
export type Width = 1 | 2 | 4 | 8
export type AluOp = keyof typeof ALU
export type JumpOp = keyof typeof JUMP
/** A register, or an immediate of 32 bits. */
export type Operand = { readonly reg: Register } | number

const CLASS_LD = 0x00
const CLASS_LDX = 0x01
const CLASS_ST = 0x02
const CLASS_STX = 0x03
const CLASS_JMP = 0x05
const CLASS_ALU64 = 0x07
const MODE_IMM = 0x00
const MODE_MEM = 0x60
const SOURCE_REGISTER = 0x08
const PSEUDO_MAP_FD = 1
const CALL = 0x80
const EXIT = 0x90

const SIZE: Record<Width, number> = { 4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18 }
const ALU = { add: 0x00, sub: 0x10, or: 0x40, and: 0x50, lsh: 0x60, rsh: 0x70, xor: 0xa0, mov: 0xb0 } as const
/** Unsigned comparisons. */
const JUMP = { eq: 0x10, gt: 0x20, ge: 0x30, set: 0x40, ne: 0x50, lt: 0xa0, le: 0xb0 } as const

interface Slot {
  opcode: number
  dst: number
  src: number
  offset: number
  imm: number
  /** Label the offset is to be filled in from. */
  target?: string
}

/** Wraps a register number, to tell it from an immediate. */
export const reg = (register: Register): Operand => ({ reg: register })

export class Assembler {
  readonly #slots: Slot[] = []
  readonly #labels = new Map<string, number>()

  /** Instructions so far, in 8-byte slots. */
  get length(): number {
    return this.#slots.length
  }

  /** Names the next instruction. */
  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`label ${name} is defined twice`)
    this.#labels.set(name, this.#slots.length)
    return this
  }

  /** `dst = dst op src` in 64 bits; `mov` copies. Immediates are sign-extended. */
  alu(op: AluOp, dst: Register, src: Operand): this {
    return this.#binary(CLASS_ALU64 | ALU[op], dst, src)
  }

  mov(dst: Register, src: Operand): this {
    return this.alu('mov', dst, src)
  }

  /** `dst = *(width *)(src + offset)`, zero-extended. */
  ldx(width: Width, dst: Register, src: Register, offset: number): this {
    return this.#emit({ opcode: CLASS_LDX | MODE_MEM | SIZE[width], dst, src, offset, imm: 0 })
  }

  /** `*(width *)(dst + offset) = src`. */
  stx(width: Width, dst: Register, offset: number, src: Register): this {
    return this.#emit({ opcode: CLASS_STX | MODE_MEM | SIZE[width], dst, src, offset, imm: 0 })
  }

  /** `*(width *)(dst + offset) = imm`. */
  st(width: Width, dst: Register, offset: number, imm: number): this {
    return this.#emit({ opcode: CLASS_ST | MODE_MEM | SIZE[width], dst, src: 0, offset, imm })
  }

  /** Jumps to `target` when `dst op src` holds. */
  jump(op: JumpOp, dst: Register, src: Operand, target: string): this {
    return this.#binary(CLASS_JMP | JUMP[op], dst, src, target)
  }

  goto(target: string): this {
    return this.#emit({ opcode: CLASS_JMP, dst: 0, src: 0, offset: 0, imm: 0, target })
  }

  /** Calls the kernel helper of that number (bpf-helpers(7)); r0 is its result, r1..r5 are lost. */
  call(helper: number): this {
    return this.#emit({ opcode: CLASS_JMP | CALL, dst: 0, src: 0, offset: 0, imm: helper })
  }

  exit(): this {
    return this.#emit({ opcode: CLASS_JMP | EXIT, dst: 0, src: 0, offset: 0, imm: 0 })
  }

  /** `dst` = the map behind the descriptor. Takes two slots. */
  loadMap(dst: Register, fd: number): this {
    this.#emit({ opcode: CLASS_LD | MODE_IMM | SIZE[8], dst, src: PSEUDO_MAP_FD, offset: 0, imm: fd })
    return this.#emit({ opcode: 0, dst: 0, src: 0, offset: 0, imm: 0 })
  }

  /** The program, 8 bytes an instruction, as bpf(2) takes it. */
  assemble(): Uint8Array {
    const bytes = new Uint8Array(this.#slots.length * 8)
    const view = new DataView(bytes.buffer)
    for (const [i, slot] of this.#slots.entries()) {
      const offset = slot.target === undefined ? slot.offset : this.#distance(slot.target, i)
      view.setUint8(i * 8, slot.opcode)
      view.setUint8(i * 8 + 1, slot.dst | (slot.src << 4))
      view.setInt16(i * 8 + 2, offset, true)
      view.setInt32(i * 8 + 4, slot.imm, true)
    }
    return bytes
  }

  #distance(target: string, from: number): number {
    const to = this.#labels.get(target)
    if (to === undefined) throw new Error(`label ${target} is not defined`)
    return to - from - 1
  }

  #binary(opcode: number, dst: Register, src: Operand, target?: string): this {
    const slot: Slot =
      typeof src === 'number'
        ? { opcode, dst, src: 0, offset: 0, imm: src }
        : { opcode: opcode | SOURCE_REGISTER, dst, src: src.reg, offset: 0, imm: 0 }
    if (target !== undefined) slot.target = target
    return this.#emit(slot)
  }

  #emit(slot: Slot): this {
    if (slot.offset < -0x8000 || slot.offset > 0x7fff)
      throw new RangeError(`offset ${slot.offset} needs 16 bits`)
    if (slot.imm !== (slot.imm | 0)) throw new RangeError(`immediate ${slot.imm} needs 32 bits`)
    this.#slots.push(slot)
    return this
  }
}
