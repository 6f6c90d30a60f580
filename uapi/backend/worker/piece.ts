/** A piece of memory that several threads have, as it goes from one to another: a view would take its whole buffer along. */
export interface Piece {
  readonly buffer: SharedArrayBuffer
  readonly offset: number
  readonly bytes: number
}

/** @param bytes in shared memory */
export function pieceOf(bytes: Uint8Array): Piece {
  return { buffer: bytes.buffer as SharedArrayBuffer, offset: bytes.byteOffset, bytes: bytes.byteLength }
}

export function bytesOf({ buffer, offset, bytes }: Piece): Uint8Array {
  return new Uint8Array(buffer, offset, bytes)
}
