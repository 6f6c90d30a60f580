import { expect, test } from 'vitest'
import { allocatePages } from '../../../driver/native/memory.ts'
import { RxBurst } from '../../../driver/nic.ts'
import { XdpNic } from '../../../driver/xdp/index.ts'
import { VethPair } from '../../support/netns.ts'

test('smoke', () => {
  using pair = new VethPair()
  using nic = XdpNic.open({ device: pair.device, netns: pair.oursPath })
  console.log(nic.info)
  const areaLength = 512 * 4096
  const { buffer } = allocatePages(areaLength + nic.info.tailBytes)
  nic.attach({ buffer, areaOffset: 0, areaLength, chunkSize: 4096 })
  console.log(nic.info.mode, nic.notes, pair.xdpProgram())
  console.log(
    'fill',
    nic.fill(
      Uint32Array.from({ length: 512 }, (_, i) => i),
      0,
      512,
    ),
    nic.chunksHeld(),
  )
  nic.steer(Uint8Array.of(10, 77, 0, 2), 9000)
  pair.run(
    pair.peer,
    'python3',
    '-c',
    `
import socket
s=socket.socket(); s.setblocking(False)
try: s.connect(('10.77.0.2',9000))
except BlockingIOError: pass
import time; time.sleep(0.05)
`,
  )
  const burst = new RxBurst()
  expect(nic.wait(1000)).toBe(true)
  console.log(nic.receive(burst), burst.offset[0], burst.length[0], nic.chunksHeld(), nic.stats())
  nic.sumFragments(burst)
  console.log(burst.sum[0])
  for (let i = 0; i < 100; i++) {
    const slot = nic.txReserve()
    nic.txMemory.set(new Uint8Array(60).fill(255, 0, 12), slot)
    nic.txCommit(slot, 60)
  }
  nic.txFlush()
  console.log(nic.stats(), pair.run(pair.peer, 'ip', '-s', 'link', 'show', 'zc1'))
})
