import { expect, it } from 'vitest'
import { ArgumentError, NicError, ZcrxError } from '../../../errors.ts'
import { tellError, toldError } from '../../../uapi/backend/worker/told-error.ts'

it.each([
  new NicError('ZCRX_NIC_BUSY', 'the queue is held', 'close that ring', 16),
  new NicError('ZCRX_NIC_SYSTEM', 'no remedy'),
  new ArgumentError('7 is none', 'say 8'),
  new ArgumentError('a remedy: in the message', 'a remedy'),
  new ZcrxError('ZCRX_CONNECT', 'connect: ECONNREFUSED'),
])('%s is the same on the other side', (error) => {
  const told = toldError(structuredClone(tellError(error)))
  expect(told).toBeInstanceOf(error.constructor)
  expect([told.code, told.message, told.remedy]).toEqual([error.code, error.message, error.remedy])
  expect((told as NicError).errno).toBe((error as NicError).errno)
})

it.each([
  [new TypeError('x is no function'), 'x is no function'],
  ['a string', 'a string'],
  [null, 'null'],
])('what is none of ours is told as an error of the worker: %s', (thrown, message) => {
  const told = toldError(tellError(thrown))
  expect([told.code, told.message]).toEqual(['ZCRX_WORKER', message])
})
