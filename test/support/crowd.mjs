// Many connections at once, each of which sends so many bytes and closes. Usage: node crowd.mjs PORT CONNECTIONS BYTES [HOST]
import { connect } from 'node:net'

const [port, connections, bytes] = process.argv.slice(2).map(Number)
const host = process.argv[5] ?? '127.0.0.1'
const data = Buffer.alloc(bytes, 'crowd')
for (let i = 0; i < connections; i++) {
  connect(port, host, function () {
    this.end(data)
  }).resume()
}
