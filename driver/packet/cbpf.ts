/**
 * An assembler for classic BPF (linux/filter.h, Documentation/networking/filter.rst). Conditional jumps reach 255
 * instructions; those that have further to go become a jump over an unconditional one.
 */

// linux/bpf_common.h
const BPF_LD_ABS = 0x20
const BPF_LD_IND = 0x40
const BPF_LDX_IMM = 0x01
const BPF_ALU = 0x04
const BPF_JA = 0x05
const BPF_JMP = 0x05
const BPF_RET = 0x06
const BPF_TAX = 0x07
const SIZE = { 4: 0x00, 2: 0x08, 1: 0x10 } as const
const JUMP = { eq: 0x10, gt: 0x20, ge: 0x30, set: 0x40 } as const
const ALU = { add: 0x00, and: 0x50, lsh: 0x60, rsh: 0x70 } as const
const SOURCE_X = 0x08

/** Bytes of `struct sock_filter`. */
export const INSTRUCTION_BYTES = 8
/** `BPF_MAXINSNS`. */
export const MOST_INSTRUCTIONS = 4096
const FAR = 255

interface Instruction {
  readonly code: number
  readonly k: number
  /** Where a jump goes; conditional when `code` is not `BPF_JA`. */
  readonly target: string | null
}

export class FilterAssembler {
  readonly #instructions: Instruction[] = []
  readonly #labels = new Map<string, number>()
  #names = 0

  /** A label that nobody else has. */
  fresh(): string {
    return `#${this.#names++}`
  }

  label(name: string): this {
    this.#labels.set(name, this.#instructions.length)
    return this
  }

  /** A = bytes of the packet at a fixed offset. Outside the packet: the filter ends with 0. */
  load(width: 1 | 2 | 4, offset: number): this {
    return this.#add(BPF_LD_ABS | SIZE[width], offset)
  }

  /** A = bytes of the packet at X + offset. */
  loadAtX(width: 1 | 2 | 4, offset: number): this {
    return this.#add(BPF_LD_IND | SIZE[width], offset)
  }

  setX(value: number): this {
    return this.#add(BPF_LDX_IMM, value)
  }

  /** X = A. */
  toX(): this {
    return this.#add(BPF_TAX, 0)
  }

  alu(op: keyof typeof ALU, k: number): this {
    return this.#add(BPF_ALU | ALU[op], k)
  }

  addX(): this {
    return this.#add(BPF_ALU | ALU.add | SOURCE_X, 0)
  }

  /** Goes to `target` when the condition holds for A and k, else on. */
  jump(condition: keyof typeof JUMP, k: number, target: string): this {
    return this.#add(BPF_JMP | JUMP[condition], k, target)
  }

  goto(target: string): this {
    return this.#add(BPF_JA, 0, target)
  }

  /** Ends with the number of bytes of the packet that are taken. */
  ret(bytes: number): this {
    return this.#add(BPF_RET, bytes)
  }

  #add(code: number, k: number, target: string | null = null): this {
    this.#instructions.push({ code, k, target })
    return this
  }

  /** `struct sock_filter[]`, in the machine's (little-endian) byte order. Jumps only go forward. */
  assemble(): Uint8Array {
    const list = this.#instructions
    const long = new Uint8Array(list.length)
    const at = new Uint32Array(list.length + 1)
    // Lengthening one jump may put the target of another out of reach, never the other way round.
    for (let changed = true; changed; ) {
      changed = false
      for (let i = 0; i < list.length; i++) at[i + 1] = at[i]! + 1 + long[i]!
      for (let i = 0; i < list.length; i++) {
        const { code, target } = list[i]!
        if (target === null || code === BPF_JA || long[i] !== 0) continue
        if (at[this.#labels.get(target)!]! - at[i]! - 1 <= FAR) continue
        long[i] = 1
        changed = true
      }
    }
    const bytes = new Uint8Array(at[list.length]! * INSTRUCTION_BYTES)
    const view = new DataView(bytes.buffer)
    const put = (index: number, code: number, yes: number, no: number, k: number): void => {
      const from = index * INSTRUCTION_BYTES
      view.setUint16(from, code, true)
      view.setUint8(from + 2, yes)
      view.setUint8(from + 3, no)
      view.setUint32(from + 4, k, true)
    }
    for (let i = 0; i < list.length; i++) {
      const { code, k, target } = list[i]!
      const here = at[i]!
      const distance = target === null ? 0 : at[this.#labels.get(target)!]! - here - 1
      if (target === null) put(here, code, 0, 0, k)
      else if (code === BPF_JA) put(here, code, 0, 0, distance)
      else if (long[i] === 0) put(here, code, distance, 0, k)
      else {
        put(here, code, 0, 1, k)
        put(here + 1, BPF_JA, 0, 0, distance - 1)
      }
    }
    return bytes
  }
}
