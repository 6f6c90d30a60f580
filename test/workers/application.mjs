// An application on a thread of its own: attaches to the host of the ticket, listens, and does what it is told.
import { parentPort, workerData } from 'node:worker_threads'
import { attachHost, createServer } from '../../dist/index.js'

const { ticket, port, keeps = false } = workerData
const host = attachHost(ticket)
let bytes = 0
let sum = 0
const server = await createServer({
  host,
  port,
  handler: {
    onConnection: () => parentPort.postMessage({ type: 'connection' }),
    onData(_connection, offset, length) {
      bytes += length
      for (let i = 0; i < length; i++) sum = (Math.imul(sum, 31) + server.area[offset + i]) | 0
      if (keeps) parentPort.postMessage({ type: 'kept', bytes })
      return !keeps
    },
    onEnd(connection, errno) {
      connection.close()
      parentPort.postMessage({ type: 'end', errno, bytes, sum })
    },
  },
})
parentPort.on('message', async (message) => {
  // As a program that is busy with something else, and never comes back.
  if (message === 'block') for (;;);
  if (message === 'throw') throw new Error('on purpose')
  if (message === 'exit') process.exit(0)
  if (message === 'close') {
    await server.close()
    await host.close()
    parentPort.close()
  }
})
parentPort.postMessage({ type: 'listening', port: server.port })
