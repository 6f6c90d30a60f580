/** A classic BPF machine with what the filters use (Documentation/networking/filter.rst). Bytes of the packet that are taken. */
export function runFilter(program: Uint8Array, packet: Uint8Array): number {
  const code = new DataView(program.buffer, program.byteOffset, program.length)
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  let a = 0
  let x = 0
  for (let pc = 0, steps = 0; pc < program.length / 8; pc++, steps++) {
    if (steps > 4096) throw new Error('the filter does not end')
    const op = code.getUint16(pc * 8, true)
    const yes = code.getUint8(pc * 8 + 2)
    const no = code.getUint8(pc * 8 + 3)
    const k = code.getUint32(pc * 8 + 4, true)
    const load = (at: number, bytes: number): boolean => {
      if (at + bytes > packet.length) return false
      a = bytes === 4 ? view.getUint32(at) : bytes === 2 ? view.getUint16(at) : view.getUint8(at)
      return true
    }
    const bytes = (op & 0x18) === 0 ? 4 : (op & 0x18) === 8 ? 2 : 1
    switch (op & 7) {
      case 0:
        if (!load((op & 0xe0) === 0x40 ? x + k : k, bytes)) return 0
        break
      case 1:
        x = k
        break
      case 4: {
        const operand = (op & 8) !== 0 ? x : k
        const kind = op & 0xf0
        if (kind === 0) a = (a + operand) >>> 0
        else if (kind === 0x50) a = (a & operand) >>> 0
        else if (kind === 0x60) a = (a << operand) >>> 0
        else if (kind === 0x70) a >>>= operand
        else throw new Error(`unknown operation ${op}`)
        break
      }
      case 5: {
        const kind = op & 0xf0
        if (kind === 0) pc += k
        else {
          const holds =
            kind === 0x10 ? a === k : kind === 0x20 ? a > k : kind === 0x30 ? a >= k : (a & k) !== 0
          pc += holds ? yes : no
        }
        break
      }
      case 6:
        return k
      case 7:
        x = a
        break
      default:
        throw new Error(`unknown instruction ${op}`)
    }
  }
  throw new Error('the filter runs off its end')
}
