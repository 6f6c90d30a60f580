/**
 * Each connection becomes a file, written from where its bytes lie, and named when it is whole.
 *
 *     node 02-files.js                     over a wire in memory, into a new folder
 *     node 02-files.js xdp:eth0 9000 DIR   and on another machine: cat FILE | nc -N ADDRESS 9000
 */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'zcrx'
import { toFile } from 'zcrx/sinks'
import { placeOf } from './place.ts'

const args = process.argv.slice(2)
const place = await placeOf(args)
const folder = args[2] ?? (await mkdtemp(join(tmpdir(), 'zcrx-files-')))
const server = await createServer({ ...place.options, port: place.port })

server.on('connection', (connection) => {
  toFile(connection, join(folder, `${connection.remoteAddress}-${connection.id}.bin`), {
    fsync: 'close',
  }).then(
    async ({ path, bytes }) => {
      console.log(`${path}: ${bytes} bytes, ${server.stats().copiedBytes} of them copied`)
      if (place.peer === null) return
      await place.close()
      await server.close()
    },
    // The disk is full, the peer has reset …: this connection is over, the others go on.
    (error) => console.error(`${connection.remoteAddress}: ${error.message}`),
  )
})

const sender = await place.peer?.()
await sender?.send(new Uint8Array(3_000_000))
sender?.close()
