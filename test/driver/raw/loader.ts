/** Tells whoever started this thread why the package can't be used. */
import { parentPort } from 'node:worker_threads'
import { loadRawSocket } from '../../../driver/raw/package.ts'
import type { NicError } from '../../../errors.ts'

try {
  loadRawSocket()
  parentPort!.postMessage({ code: '', message: '' })
} catch (error) {
  const { code, message } = error as NicError
  parentPort!.postMessage({ code, message })
}
