/** On a worker's thread: a queue of a device, with what is to happen to its frames. */
import { type Nic, openQueue, type QueueRequest, type QueueShare } from '../api.ts'
import { type WrapRequest, wrapNic } from './wrap.ts'

/** Of all workers. */
export interface WrappedQueues extends WrapRequest {
  readonly requests: readonly QueueRequest[]
  readonly areaBytes?: number
}

export function openNic(
  { requests, areaBytes, ...wrap }: WrappedQueues,
  index: number,
  share: QueueShare | null,
): { nic: Nic; share: QueueShare | null } {
  const opened = openQueue(requests[index]!, share, areaBytes === undefined ? {} : { areaBytes })
  return { nic: wrapNic(opened.nic, wrap, () => {}), share: opened.share }
}
