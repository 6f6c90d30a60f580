/**
 * Node's own HTTP server, over connections of zcrx: uploads are counted, everything else is answered.
 *
 *     node 03-http.js                     over a wire in memory, with requests of its own
 *     node 03-http.js xdp:eth0 8080       and on another machine: curl -T FILE http://ADDRESS:8080/
 */
import http from 'node:http'
import { createServer } from 'zcrx'
import { placeOf } from './place.ts'

const web = http.createServer((request, response) => {
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  request.on('end', () =>
    response.end(`${request.method} ${request.url}: ${bytes} bytes from ${request.socket.remoteAddress}\n`),
  )
})

const place = await placeOf(process.argv.slice(2))
const server = await createServer({ ...place.options, port: place.port })
// HTTP closes each direction by itself, so the stream may stay half open.
server.on('connection', (connection) => web.emit('connection', connection.toNode({ allowHalfOpen: true })))

if (place.peer !== null) {
  const { peer } = place
  for (const [method, path, body] of [
    ['PUT', '/upload', Buffer.alloc(1_000_000)],
    ['GET', '/', undefined],
  ] as const) {
    const socket = (await peer()).toNode()
    const request = http.request({ createConnection: () => socket, host: '192.0.2.1', method, path })
    request.end(body)
    const response = await new Promise<http.IncomingMessage>((resolve) => request.once('response', resolve))
    for await (const text of response.setEncoding('utf8')) process.stdout.write(String(text))
    socket.destroy()
  }
  await place.close()
  await server.close()
}
