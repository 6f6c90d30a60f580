import { ArgumentError, NicError, type NicErrorCode, ZcrxError } from '../../../errors.ts'
import type { ToldError } from './messages.ts'

/** An error as it crosses to another thread. */
export function tellError(error: unknown): ToldError {
  const { message } = error instanceof Error ? error : new Error(String(error))
  if (!(error instanceof ZcrxError))
    return { kind: 'other', code: 'ZCRX_WORKER', message, remedy: '', errno: 0 }
  const { code, remedy } = error
  // The constructors put the remedy behind the message.
  const tail = `: ${remedy}`
  const bare = remedy !== '' && message.endsWith(tail) ? message.slice(0, -tail.length) : message
  if (error instanceof NicError) return { kind: 'nic', code, message: bare, remedy, errno: error.errno }
  return {
    kind: error instanceof ArgumentError ? 'argument' : 'other',
    code,
    message: bare,
    remedy,
    errno: 0,
  }
}

/** The error that `tellError` was given, made anew. */
export function toldError({ kind, code, message, remedy, errno }: ToldError): ZcrxError {
  if (kind === 'nic') return new NicError(code as NicErrorCode, message, remedy, errno)
  if (kind === 'argument' && code === 'ZCRX_ARGUMENT') return new ArgumentError(message, remedy)
  return new ZcrxError(code, message, remedy)
}
