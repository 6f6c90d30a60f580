/**
 * A module of WebAssembly counts lines in received data where it lies: its memory is the area.
 *
 *     node 05-wasm.js                     over a wire in memory
 *     node 05-wasm.js xdp:eth0 9000       and on another machine: cat FILE | nc -N ADDRESS 9000
 */
import { createServer } from 'zcrx'
import { placeOf } from './place.ts'

/*
 * (module (import "js" "memory" (memory 1 1024 shared))
 *   (func (export "count") (param $at i32) (param $length i32) (param $byte i32) (result i32) (local $found i32)
 *     (block (loop (br_if 1 (i32.eqz (local.get $length)))
 *       (local.set $found (i32.add (local.get $found) (i32.eq (i32.load8_u (local.get $at)) (local.get $byte))))
 *       (local.set $at (i32.add (local.get $at) (i32.const 1)))
 *       (local.set $length (i32.sub (local.get $length) (i32.const 1))) (br 0)))
 *     (local.get $found)))
 */
const MODULE =
  'AGFzbQEAAAABCAFgA39/fwF/AhABAmpzBm1lbW9yeQIDAYAIAwIBAAcJAQVjb3VudAAACjABLgEBfwJAA0AgAUUNASADIAAtAAAgAkZqIQMgAEEBaiEAIAFBAWshAQwACwsgAws='

// Shared, so that threads may read there too, and nothing of it goes away when it grows.
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1024, shared: true })
const module = await WebAssembly.compile(Buffer.from(MODULE, 'base64'))
const { exports } = await WebAssembly.instantiate(module, { js: { memory } })
const count = exports.count as (at: number, length: number, byte: number) => number

const place = await placeOf(process.argv.slice(2))
// The memory is grown by what the area takes; what the module has lies in front of it.
const server = await createServer({ ...place.options, port: place.port, area: memory, areaBytes: 8 << 20 })
server.on('connection', async (connection) => {
  let lines = 0
  for await (const views of connection.batches())
    for (const { byteOffset, length } of views) lines += count(byteOffset, length, 10)
  console.log(`${lines} lines in ${connection.bytesReceived} bytes, ${server.stats().copiedBytes} copied`)
  if (place.peer === null) return
  await place.close()
  await server.close()
})

const sender = await place.peer?.()
await sender?.send(Buffer.from('a line of text\n'.repeat(100_000)))
sender?.close()
