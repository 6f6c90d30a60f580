import { IpAddress } from '../address.ts'
import { AbortError, ArgumentError } from '../errors.ts'

/** @throws ArgumentError for anything but a whole number of the range */
export function integer(name: string, value: unknown, least: number, most: number): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
    return value as number
  throw new ArgumentError(`${name} ${String(value)} is not an integer from ${least} to ${most}`)
}

/** @throws AbortError when it is aborted */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new AbortError(signal.reason)
}

/** Waits no longer than until the signal is aborted. @throws AbortError, and what the promise rejects with */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new AbortError(signal.reason))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** @throws ArgumentError for anything but an IP address as text */
export function addressOf(name: string, value: unknown): IpAddress {
  const address = typeof value === 'string' ? IpAddress.parse(value) : null
  if (address !== null) return address
  throw new ArgumentError(
    `${name}: "${String(value)}" is not an IP address`,
    'write 192.0.2.1, or 2001:db8::1',
  )
}
