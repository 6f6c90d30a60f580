import { expect, it } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import type { Nic } from '../../driver/nic.ts'
import { Host } from '../../uapi/backend/host.ts'

it('a device without roles is no NIC, and the error says what it lacks', () => {
  const { a } = new MemoryLink()
  const old = Object.create(a, { roles: { value: undefined } }) as Nic
  const open = (): Host => Host.open({ device: old, address: '192.0.2.1', ownAddress: true })
  expect(open).toThrow(expect.objectContaining({ code: 'ZCRX_ARGUMENT' }))
  expect(open).toThrow(/NO_ROLES/)
})
