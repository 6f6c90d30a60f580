import { describe, expect, it } from 'vitest'
import { Connection } from '../../net/connection.ts'
import type { ConnectionHost } from '../../net/connection-host.ts'

describe('what a connection has received', () => {
  it('is counted beyond 31 and 32 bits', () => {
    const handler = { onData: () => true, onEnd: () => {} }
    const host = { sendBufferBytes: 1 } as unknown as ConnectionHost
    const connection = new Connection(host, handler, 1, { address: '192.0.2.1', port: 1000 })
    const piece = 65_536
    let expected = 0
    for (let i = 0; i < 70_000; i++) {
      connection.deliver(0, piece - (i & 1))
      expected += piece - (i & 1)
    }
    expect(expected).toBeGreaterThan(2 ** 32)
    expect(connection.bytesReceived).toBe(expected)
  })
})
