/**
 * Child process of `zcrxd doctor --try`: an ordinary client on Linux's TCP. Sends a pattern, wants it back, prints how long
 * that took. Usage: peer.js ADDRESS PORT BYTES
 */
import { connect } from 'node:net'

const [, , address, port, bytes] = process.argv
const sent = Buffer.from(Uint8Array.from({ length: Number(bytes) }, (_, i) => (i * 31 + (i >> 8)) & 0xff))
const started = performance.now()
const socket = connect({ host: address!, port: Number(port) })
const parts: Buffer[] = []
socket.on('connect', () => socket.write(sent))
socket.on('data', (part) => {
  parts.push(part)
  if (parts.reduce((sum, { length }) => sum + length, 0) >= sent.length) socket.end()
})
socket.on('error', (error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
socket.on('close', (failed) => {
  if (failed) return
  const got = Buffer.concat(parts)
  if (got.equals(sent)) process.stdout.write(`${performance.now() - started}\n`)
  else {
    process.stderr.write(`${got.length} of ${sent.length} bytes came back, or others\n`)
    process.exitCode = 1
  }
})
