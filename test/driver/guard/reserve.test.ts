import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ReservedPorts } from '../../../driver/guard/index.ts'
import { isListening } from '../../../driver/guard/listening.ts'
import { loadNative } from '../../../driver/native/index.ts'
import { inNamespace } from '../../../driver/system.ts'
import { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { OURS, OURS6 } from '../xdp/frames.ts'
import { obstacle } from '../xdp/setup.ts'
import { answers, segmentTo } from './segments.ts'

const PORT = 9000
const SYN = 2

describe.skipIf(obstacle !== '')('a reserved port', () => {
  let pair: VethPair
  const guards: ReservedPorts[] = []
  const open = (): ReservedPorts => {
    const guard = new ReservedPorts(pair.device, 1, pair.oursPath)
    guards.push(guard)
    return guard
  }
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterEach(() => {
    for (const guard of guards.splice(0)) guard.close()
    pair.destroy()
  })

  /** What a service of the host is told that wants the port. */
  function serve(address: string): string {
    const script = `import socket
try: socket.create_server((${JSON.stringify(address)}, ${PORT}), family=socket.AF_INET6 if ':' in ${JSON.stringify(address)} else socket.AF_INET); print('ok')
except OSError as e: print(e.errno)`
    return pair.run(pair.ours, PYTHON, '-c', script).trim()
  }

  it('is nobody else’s, and the kernel answers for it as for one that nobody has', () => {
    const [one, other] = [open(), open()]
    for (const [address, text] of [
      [OURS, pair.ourAddress],
      [OURS6, pair.ourAddress6],
    ] as const) {
      // Two queues of this process hold it together.
      one.hold(address, PORT)
      one.hold(address, PORT)
      other.hold(address, PORT)
      expect(serve(text)).toBe('98')
      expect(answers(pair, [segmentTo(address, PORT, SYN)])).toEqual({ heard: 1, resets: 1 })
      one.release(address, PORT)
      expect(serve(text)).toBe('98')
      other.release(address, PORT)
      expect(serve(text)).toBe('ok')
    }
  })

  it('is refused when a service of the host has it', async () => {
    const service = pair.start(
      pair.ours,
      PYTHON,
      '-c',
      `import socket
s = socket.create_server(('0.0.0.0', ${PORT}))
print('ready', flush=True)
input()`,
    )
    await new Promise((resolve) => service.stdout!.once('data', resolve))
    expect(() => open().hold(OURS, PORT)).toThrow(
      expect.objectContaining({ code: 'ZCRX_NIC_BUSY', remedy: expect.stringContaining('--take-over') }),
    )
    open().hold(OURS6, PORT)
    const native = loadNative()
    const listens = (address: Uint8Array, port: number): boolean =>
      inNamespace(native, pair.oursPath, () => isListening(address, port))
    expect([listens(OURS, PORT), listens(OURS, PORT + 1), listens(OURS6, PORT)]).toEqual([true, false, false])
    const closed = new Promise((resolve) => service.once('close', resolve))
    service.stdin!.end()
    await closed
    expect(listens(OURS, PORT)).toBe(false)
  })
})

it('what listens is looked up at the address, and at the wildcards', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes)
  expect([isListening(of(127, 0, 0, 1), port), isListening(of(127, 0, 0, 2), port)]).toEqual([true, false])
  server.close()
  const table = `  sl  local_address rem_address   st
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0
   1: 00000000000000000000000000000000:0051 00000000000000000000000000000000:0000 01 0`
  const read = (path: string): string => (path.endsWith('tcp6') ? table : '')
  expect([80, 81].map((one) => isListening(of(192, 0, 2, 1), one, read))).toEqual([true, false])
})
