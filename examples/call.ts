import { errnoName, type Ring, type Sqe } from 'zcrx'

/** Submits one entry and waits for its completion: for what is done once. @throws Error with the errno's name */
export function call(ring: Ring, prepare: (sqe: Sqe) => unknown): number {
  prepare(ring.getSqe()!)
  ring.submitAndWait(1)
  const cqe = ring.waitCqe()
  const { res } = cqe
  ring.cqeSeen(cqe)
  if (res < 0) throw new Error(errnoName(res))
  return res
}
