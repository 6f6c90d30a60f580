/**
 * Takes a queue and keeps it until it is killed, or with `worker` in a thread that is terminated.
 * Usage: holder.ts NETNS DEVICE [worker]
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { loadNative } from '../../../driver/native/index.ts'
import { XdpNic } from '../../../driver/xdp/index.ts'
import { chunkNumbers, memoryFor } from './setup.ts'

const [, , netns, device, how] = process.argv
if (how === 'worker') {
  loadNative()
  const child = fileURLToPath(new URL('../../support/child.mjs', import.meta.url))
  const worker = new Worker(child, { argv: [fileURLToPath(import.meta.url), netns!, device!, 'armed'] })
  await once(worker, 'message')
  console.log('ready')
  await once(process.stdin, 'data')
  await worker.terminate()
  console.log('terminated')
  await once(process.stdin, 'data')
} else {
  const nic = XdpNic.open({ device: device!, netns: netns! })
  nic.attach(memoryFor(nic))
  nic.fill(chunkNumbers(512), 0, 512)
  nic.claim(Uint8Array.of(10, 77, 0, 99))
  nic.arm(() => {})
  const { parentPort } = await import('node:worker_threads')
  if (parentPort !== null) parentPort.postMessage('ready')
  else console.log('ready')
}
