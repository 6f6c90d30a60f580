import type { Fragments } from '../memory/fragments.ts'
import type { Segment } from '../tcp/segment.ts'
import type { InputContext } from './context.ts'
import type { Datagram, FragmentReassembly, IpFragment } from './fragment-reassembly.ts'
import { type FrameHeaders, HEADER_BYTES } from './frame-headers.ts'
import type { PacketBytes } from './packet-bytes.ts'
import type { FragmentTaker } from './packet-takers.ts'

/** Shows a datagram put together from fragments to the parsers as if it had come in one frame. */
export class Assembled implements FragmentTaker {
  readonly #headers: FrameHeaders
  readonly #bytes: PacketBytes
  readonly #segment: Segment
  readonly #fragments: Fragments
  readonly #reassembly: FragmentReassembly

  constructor(context: InputContext, reassembly: FragmentReassembly) {
    this.#headers = context.headers
    this.#bytes = context.bytes
    this.#segment = context.segment
    this.#fragments = context.fragments
    this.#reassembly = reassembly
  }

  /** Takes a fragment of the packet being processed; returns the datagram that it completes, which is to be shown. */
  add(fragment: IpFragment, now: number): Datagram | null {
    return this.#reassembly.add(fragment, now)
  }

  /** The headers become those of the first fragment; returns where the reassembled part begins. */
  begin(datagram: Datagram): number {
    const { headerBytes, total } = datagram
    const header = this.#headers.bytes
    const list = datagram.heads[0]!
    header.set(datagram.header.subarray(0, headerBytes))
    this.#bytes.setList(header, headerBytes, list)
    const readable = Math.min(total, HEADER_BYTES - headerBytes)
    this.#bytes.copy(headerBytes, readable, header, headerBytes)
    this.#headers.beginAssembled(headerBytes + readable, headerBytes + total)
    this.#segment.list = list
    datagram.heads.length = 0
    return headerBytes
  }

  /** Frees what nobody has taken. */
  end(datagram: Datagram): void {
    this.#fragments.discardList(this.#segment.list)
    this.#segment.list = -1
    this.#reassembly.release(datagram)
  }
}
