/**
 * The fastest way to receive: a callback for each piece, which lies where the network card put it.
 *
 *     node 01-receive.js                  over a wire in memory, with a sender of its own: no privileges
 *     node 01-receive.js xdp:eth0 9000    as root; and on another machine: cat FILE | nc ADDRESS 9000
 */
import { createServer } from 'zcrx'
import { placeOf } from './place.ts'

const place = await placeOf(process.argv.slice(2))
let bytes = 0
const server = await createServer({
  ...place.options,
  port: place.port,
  handler: {
    onData(_connection, offset, length) {
      const piece = server.area.subarray(offset, offset + length) // valid until this returns
      bytes += piece.length
      return true // done with it: the buffer goes back
    },
    onEnd(connection, errno) {
      connection.close()
      const { zeroCopiedBytes, copiedBytes } = server.stats()
      console.log(`${bytes} bytes, ended with ${errno}: ${zeroCopiedBytes} in place, ${copiedBytes} copied`)
      if (place.peer !== null) void place.close().then(() => server.close())
    },
  },
})

const sender = await place.peer?.()
if (sender === undefined) console.log(`listening on ${server.listening.join(', ')}`)
else {
  await sender.send(new Uint8Array(5_000_000))
  sender.close()
}
