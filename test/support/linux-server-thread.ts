import { parentPort } from 'node:worker_threads'
import { createServer } from '../../net/open.ts'

/** A thread with a server on the machine's own stack: tells its port, and each piece of data. */
const server = await createServer({
  device: 'linux:',
  port: 0,
  listenOn: '127.0.0.1',
  handler: {
    onData(_connection, _offset, length) {
      parentPort!.postMessage(length)
      return true
    },
    onEnd: (connection) => connection.close(),
  },
})
parentPort!.postMessage(server.port)
