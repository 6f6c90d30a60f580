import { isIP } from 'node:net'
import { ArgumentError } from '../../errors.ts'

/** Addresses as text, which is how raw-socket takes and gives them. */

/** An address in network order, 4 or 16 bytes. @throws ArgumentError */
export function bytesOf(text: string): Uint8Array {
  const version = isIP(text)
  if (version === 0 || text.includes('%')) throw new ArgumentError(`${text} is not an IP address`)
  if (version === 4) return Uint8Array.from(text.split('.'), Number)
  const bytes = new Uint8Array(16)
  const [head, tail] = text.split('::') as [string, string?]
  bytes.set(groups(head))
  if (tail !== undefined) {
    const end = groups(tail)
    bytes.set(end, 16 - end.length)
  }
  return bytes
}

/** The bytes of colon-separated groups, of which the last may be an IPv4 address. */
function groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

/** Text of the 4 or 16 bytes at `at`. */
export function textOf(bytes: Uint8Array, at: number, length: number): string {
  if (length === 4) return bytes.subarray(at, at + 4).join('.')
  const parts: string[] = []
  for (let i = 0; i < 16; i += 2) parts.push(((bytes[at + i]! << 8) | bytes[at + i + 1]!).toString(16))
  return parts.join(':')
}

/** Texts and bytes of peers, so that a packet of one that is known makes neither. Bounded: when it is full it starts anew. */
export class AddressCache {
  readonly #bytes = new Map<string, Uint8Array>()
  readonly #texts = new Map<number, string>()
  readonly #limit: number
  #latestText = ''
  #latestBytes: Uint8Array = new Uint8Array(16)
  readonly #latest6 = new Uint8Array(16)
  #latest6Text = ''

  constructor(limit = 1024) {
    this.#limit = limit
  }

  /** Bytes of an IPv6 address. */
  bytes(text: string): Uint8Array {
    if (text === this.#latestText) return this.#latestBytes
    let bytes = this.#bytes.get(text)
    if (bytes === undefined) {
      bytes = bytesOf(text)
      if (this.#bytes.size >= this.#limit) this.#bytes.clear()
      this.#bytes.set(text, bytes)
    }
    this.#latestText = text
    this.#latestBytes = bytes
    return bytes
  }

  /** Text of the IPv4 address at `at`. */
  text4(frame: Uint8Array, at: number): string {
    const key = (frame[at]! << 24) | (frame[at + 1]! << 16) | (frame[at + 2]! << 8) | frame[at + 3]!
    let text = this.#texts.get(key)
    if (text === undefined) {
      text = textOf(frame, at, 4)
      if (this.#texts.size >= this.#limit) this.#texts.clear()
      this.#texts.set(key, text)
    }
    return text
  }

  /** Text of the IPv6 address at `at`. */
  text6(frame: Uint8Array, at: number): string {
    const latest = this.#latest6
    let same = this.#latest6Text !== ''
    for (let i = 0; i < 16 && same; i++) same = latest[i] === frame[at + i]
    if (same) return this.#latest6Text
    latest.set(frame.subarray(at, at + 16))
    this.#latest6Text = textOf(frame, at, 16)
    return this.#latest6Text
  }
}
