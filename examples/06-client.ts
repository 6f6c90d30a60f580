/**
 * A client: connects, asks, and waits for the answer; refusals have Node's codes.
 *
 *     node 06-client.js                           over a wire in memory, with a server of its own
 *     node 06-client.js xdp:eth0 9000 ADDRESS     to whoever listens there: socat TCP-LISTEN:9000,fork EXEC:cat
 */
import { connect, createServer } from 'zcrx'
import { placeOf } from './place.ts'

const args = process.argv.slice(2)
const place = await placeOf(args)
const server = place.peer === null ? null : await createServer({ ...place.options, port: place.port })
server?.on('connection', (connection) => {
  const stream = connection.toNode()
  stream.pipe(stream)
})

const dial = place.peer ?? (() => connect({ ...place.options, host: args[2] ?? '', port: place.port }))
const connection = await dial()
console.log(`${connection.localAddress} is connected to ${connection.remoteAddress}:${connection.remotePort}`)
await connection.send(new TextEncoder().encode('hello, whoever you are'))
connection.end()
for await (const { bytes } of connection) console.log(`answer: ${Buffer.from(bytes)}`)

if (place.peer !== null) {
  await place
    .peer({ port: 1, timeout: 1000, signal: AbortSignal.timeout(5000) })
    .catch(({ code, syscall, message }) => {
      console.log(`${code} of ${syscall}: ${message}`)
    })
  await place.close()
  await server!.close()
}
