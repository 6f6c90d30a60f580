/** The memory link as the demo sees it: the receiver's queue, and a sender at the other end, in one process. */
import { type Nic, ZcrxError } from '../api.ts'
import type { PassRequest, SentReply } from './protocol.ts'

export interface MemoryLink {
  /** The receiver's end. */
  readonly nic: Nic
  /** The receiver's address. */
  readonly address: string
  /** Connects the flows of a pass to `port`, sends them, and resolves when they are closed at both ends. */
  send(port: number, request: PassRequest): Promise<SentReply>
  close(): void
}

/** @throws ZcrxError */
export async function openMemoryLink(mtu: number): Promise<MemoryLink> {
  throw new ZcrxError('ZCRXD_NO_MEMORY_LINK', `this build has no memory link (MTU ${mtu})`)
}
