// Terminates threads in the middle of their work. Usage: threads.mjs WHAT COUNT [NETNS DEVICE]
// WHAT: `calls` (exports of the addon, again and again) or `servers` (a server over a packet socket, under a flood).
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** Threads at a time: one starts while others work. */
const TOGETHER = 3

if (isMainThread) {
  const [, , what, count, netns, device] = process.argv
  let left = Number(count)
  let worked = 0
  const one = async () => {
    while (left-- > 0) {
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { what, netns, device } })
      worker.on('error', (error) => {
        console.error(error)
        process.exitCode = 1
      })
      await once(worker, 'message')
      // At the first call, or in the middle of it all.
      await new Promise((resolve) => setTimeout(resolve, left % 5))
      await worker.terminate()
      worked++
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, one))
  console.log(`${worked} terminated`)
} else if (workerData.what === 'servers') {
  const { PacketNic } = await import('../../../dist/driver/index.js')
  const { createServer } = await import('../../../dist/index.js')
  const { netns, device } = workerData
  const nic = PacketNic.open({ device, netns, guard: 'none', ring: { blocks: 8 } })
  const server = await createServer({ device: nic, areaBytes: 1 << 20, port: 9000 })
  const timer = setInterval(() => {
    if (nic.stats().rxFrames < 20) return
    clearInterval(timer)
    parentPort.postMessage('works')
  }, 1)
  for await (const connection of server) connection.destroy()
} else {
  const { loadNative } = await import('../../../dist/driver/native/index.js')
  const native = loadNative()
  const words = new Uint32Array(16)
  const bytes = new Uint8Array(4096)
  const attempt = (call) => {
    try {
      call()
    } catch {
      // What is wrong throws.
    }
  }
  parentPort.postMessage('works')
  for (;;) {
    const fd = native.netlinkOpen(0, 0x7fff)
    const watcher = new native.Watcher(fd)
    for (let i = 0; i < 20; i++) {
      watcher.start(() => {}, i % 2 === 0)
      watcher.unref()
      watcher.stop()
      attempt(() => native.linkInfo('lo'))
      attempt(() => native.linkInfo(1))
      attempt(() => new native.Watcher(1_000_000))
      attempt(() => native.sumFragments(bytes, words, words, words, 17, 0))
      native.sumFragments(bytes, words, words, words, 16, 0)
      native.mapMemory(4096, false, -1)
      attempt(() => watcher.start(1, 2))
    }
    watcher.close()
    native.close(fd)
    if (Math.random() < 0.3) await new Promise((resolve) => setImmediate(resolve))
  }
}
