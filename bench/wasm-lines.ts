/**
 * `count(at, length, byte)` of a module that counts a byte in its memory, sixteen at a time:
 *
 *     (loop (br_if $rest (i32.lt_u (local.get $length) (i32.const 16)))
 *       (local.set $found (i32.add (local.get $found)
 *         (i32.popcnt (i8x16.bitmask (i8x16.eq (v128.load (local.get $at)) (i8x16.splat (local.get $byte))))))) …)
 *
 * and what is left of fewer one by one.
 */
const MODULE =
  'AGFzbQEAAAABCAFgA39/fwF/Ag4BAmpzBm1lbW9yeQIAAQMCAQAHCQEFY291bnQAAApnAWUCAX8BeyAC/Q8hBAJAA0AgAUEQSQ0BIAMgAP0AAAAgBP0j/WRpaiEDIABBEGohACABQRBrIQEMAAsLAkADQCABRQ0BIAMgAC0AACACRmohAyAAQQFqIQAgAUEBayEBDAALCyADCw=='

const NEWLINE = 10
/** Of memory for chunks that lie elsewhere. */
const SCRATCH_BYTES = 1 << 20
const PAGE = 65_536

type Count = (at: number, length: number, byte: number) => number

/** Counts lines in its memory; what lies elsewhere is copied there first. */
export class WasmLines {
  readonly memory: WebAssembly.Memory
  readonly #count: Count
  lines = 0

  /** @param maxBytes that the memory may grow to */
  constructor(maxBytes: number) {
    this.memory = new WebAssembly.Memory({
      initial: SCRATCH_BYTES / PAGE,
      maximum: Math.ceil(maxBytes / PAGE),
    })
    const module = new WebAssembly.Module(Buffer.from(MODULE, 'base64'))
    const { exports } = new WebAssembly.Instance(module, { js: { memory: this.memory } })
    this.#count = exports.count as Count
  }

  take(bytes: Uint8Array): void {
    let at = bytes.byteOffset
    if (bytes.buffer !== this.memory.buffer) {
      new Uint8Array(this.memory.buffer).set(bytes)
      at = 0
    }
    this.lines += this.#count(at, bytes.length, NEWLINE)
  }
}
