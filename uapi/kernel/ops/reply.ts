import { EAGAIN } from '../../abi/errno.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { Request, type RequestPort } from '../request.ts'

/** A request that is complete when it has been looked at. */
export class ImmediateRequest extends Request {
  override run(): void {}
  override detach(): void {}
}

/** Completes an entry at once. */
export function reply(context: RequestPort, sqe: Sqe, res: number): void {
  context.complete(new ImmediateRequest(context, sqe), res, 0)
}

/** Starts a request that may have to wait; one that may not is answered `instead`. */
export function begin(request: Request & { wait(): void }, mayWait: boolean, instead = -EAGAIN): void {
  request.context.track(request)
  request.wait()
  request.run()
  if (!mayWait && !request.finished) request.finish(instead)
}
