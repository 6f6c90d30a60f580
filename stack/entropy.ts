/** Unpredictable numbers, handed to the stack like its clock. Returns a signed 32-bit integer. */
export type Entropy = () => number

/** From the platform's cryptographic generator. */
export function systemEntropy(): Entropy {
  const pool = new Int32Array(64)
  let left = 0
  return () => {
    if (left === 0) {
      crypto.getRandomValues(pool)
      left = pool.length
    }
    return pool[--left]!
  }
}

/** Repeatable, for tests: xorshift128 seeded by one integer. Never for anything the network sees. */
export function seededEntropy(seed: number): Entropy {
  let x = seed | 0 || 1
  let y = 362_436_069
  let z = 521_288_629
  let w = 88_675_123
  return () => {
    const t = x ^ (x << 11)
    x = y
    y = z
    z = w
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8)
    return w
  }
}

function rotl(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

/**
 * HalfSipHash-2-4 over 32-bit words (Aumasson and Bernstein's SipHash with 32-bit lanes): a keyed hash that a peer who sees
 * its outputs can't predict. Used for initial sequence numbers (RFC 6528).
 */
export function halfSipHash(key0: number, key1: number, words: readonly number[]): number {
  let v0 = key0
  let v1 = key1
  let v2 = 0x6c796765 ^ key0
  let v3 = 0x74656462 ^ key1
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) | 0
      v1 = rotl(v1, 5) ^ v0
      v0 = rotl(v0, 16)
      v2 = (v2 + v3) | 0
      v3 = rotl(v3, 8) ^ v2
      v0 = (v0 + v3) | 0
      v3 = rotl(v3, 7) ^ v0
      v2 = (v2 + v1) | 0
      v1 = rotl(v1, 13) ^ v2
      v2 = rotl(v2, 16)
    }
  }
  for (const word of words) {
    v3 ^= word
    rounds(2)
    v0 ^= word
  }
  const last = (words.length * 4) << 24
  v3 ^= last
  rounds(2)
  v0 ^= last
  v2 ^= 0xff
  rounds(4)
  return v1 ^ v3
}
