/** The folded one's complement sum of bytes as big-endian 16-bit words. */
export function sumOf(bytes: Uint8Array, offset: number, length: number): number {
  let total = 0
  const end = offset + (length & ~1)
  for (let at = offset; at < end; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!
  if ((length & 1) !== 0) total += bytes[end]! << 8
  total = (total & 0xffff) + Math.floor(total / 65_536)
  return (total & 0xffff) + (total >>> 16)
}
