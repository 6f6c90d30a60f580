import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { ArgumentError } from '../../errors.ts'
import { planAddresses } from '../../host/addresses.ts'
import { secretFile, stableSecret } from '../../host/stable-secret.ts'
import { createServer } from '../../net/open.ts'
import { Host, type HostOptions } from '../../uapi/backend/host.ts'
import { connect } from '../support/client.ts'

const QUICK = { probeWaitUs: 20_000, probeMinUs: 10_000, probeMaxUs: 20_000, announceWaitUs: 20_000 }

describe('what options say about addresses', () => {
  const plan = (options: Omit<HostOptions, 'device'>, farEnd = false) =>
    planAddresses({ device: '', ...options }, farEnd)

  it('is read with and without prefixes, one or several', () => {
    const { addresses, gateways, own, auto } = plan({
      address: ['192.0.2.5/24', '2001:db8::5'],
      prefixLength: 64,
      gateway: ['192.0.2.254', 'fe80::1'],
      ownAddress: true,
    })
    expect(addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`)).toEqual([
      '192.0.2.5/24',
      '2001:db8::5/64',
    ])
    expect([gateways.map(String), own, auto]).toEqual([['192.0.2.254', 'fe80::1'], true, false])
    expect(plan({ address: 'auto' })).toMatchObject({ addresses: [], own: true, auto: true })
    expect(plan({})).toMatchObject({ addresses: [], own: false, auto: false })
  })

  it('is ours alone where the kernel is at the other end of the wire, and must be said', () => {
    expect(plan({ address: '192.0.2.5/24', ownAddress: false }, true)).toMatchObject({ own: true })
    expect(() => plan({}, true)).toThrow(ArgumentError)
  })

  it.each<[string, Omit<HostOptions, 'device'>]>([
    ['no address', { address: '192.0.2' }],
    ['a prefix that is too long', { address: '192.0.2.1/33' }],
    ['a prefix that is no number', { address: '192.0.2.1/x' }],
    ['a group as a gateway', { address: '192.0.2.1', gateway: '224.0.0.1' }],
    ['a gateway of another version', { address: '192.0.2.1', gateway: 'fe80::1' }],
    ['two gateways of a version', { address: '192.0.2.1', gateway: ['192.0.2.2', '192.0.2.3'] }],
    ['addresses from routers that are the machine’s', { address: 'auto', ownAddress: false }],
  ])('is refused: %s', (_what, options) => {
    expect(() => plan(options)).toThrow(ArgumentError)
  })
})

describe('hosts on a memory link', () => {
  const open = (link: MemoryLink, options: Partial<HostOptions> = {}): Promise<Host> => {
    const host = Host.open({ device: link.b, address: '192.0.2.1', ownAddress: true, ...options })
    return Promise.resolve(host)
  }

  it('are ready at once without a test, and take nothing from the kernel', async () => {
    const host = await open(new MemoryLink({ seed: 1 }))
    expect([host.pending, host.network]).toEqual([false, null])
    await host.ready
    host.close()
    const theirs = await open(new MemoryLink({ seed: 1 }), { ownAddress: false })
    expect([theirs.pending, theirs.network]).toEqual([false, null])
    theirs.close()
  })

  it('serve over both versions at once, once their addresses are tested', async () => {
    const link = new MemoryLink({ seed: 1 })
    const bytes: Record<string, number> = {}
    const server = await createServer({
      device: link.b,
      address: ['192.0.2.1/24', '2001:db8::1/64'],
      ownAddress: true,
      dad: true,
      ip: QUICK,
      port: 9000,
      areaBytes: 2 << 20,
      handler: {
        onData: (connection, _offset, length) => {
          bytes[connection.remoteAddress] = (bytes[connection.remoteAddress] ?? 0) + length
          return true
        },
        onEnd: (connection) => connection.close(),
      },
    })
    expect(server.addresses.sort()).toEqual(['192.0.2.1', '2001:db8::1'])
    const client = await connect({
      device: link.a,
      address: '192.0.2.2',
      ownAddress: true,
      remoteAddress: '192.0.2.1',
      remotePort: 9000,
    })
    await client.send(0, new Uint8Array(1000))
    await client.end(0)
    await expect.poll(() => bytes).toEqual({ '192.0.2.2': 1000 })
    client.close()
    await server.close()
  }, 20_000)

  it('listen at one of several addresses when they are told to', async () => {
    const options = { address: ['192.0.2.1', '192.0.2.3'], ownAddress: true, port: 9000, areaBytes: 2 << 20 }
    const link = new MemoryLink({ seed: 1 })
    const server = await createServer({ ...options, device: link.b, listenOn: '192.0.2.3' })
    const to = { device: link.a, address: '192.0.2.2', ownAddress: true, remotePort: 9000 }
    const client = await connect({ ...to, remoteAddress: '192.0.2.3' })
    client.close()
    await expect(connect({ ...to, remoteAddress: '192.0.2.1' })).rejects.toThrow('ECONNREFUSED')
    await server.close()
    const other = new MemoryLink({ seed: 1 }).b
    await expect(createServer({ ...options, device: other, listenOn: '192.0.2.9' })).rejects.toThrow(
      ArgumentError,
    )
  }, 20_000)

  it('say who has their address', async () => {
    const link = new MemoryLink({ seed: 1 })
    const first = await createServer({
      device: link.a,
      address: '192.0.2.1',
      ownAddress: true,
      port: 9000,
      areaBytes: 2 << 20,
    })
    const second = createServer({
      device: link.b,
      address: '192.0.2.1',
      ownAddress: true,
      dad: true,
      ip: QUICK,
      port: 9000,
      areaBytes: 2 << 20,
    })
    await expect(second).rejects.toMatchObject({
      code: 'ZCRX_ADDRESS_IN_USE',
      message: expect.stringContaining('02:00:00:00:00:01'),
    })
    await first.close()
  }, 20_000)
})

describe('the secret of stable addresses', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'zcrx-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('is random, only its owner’s, and the same the next time', () => {
    const path = join(directory, 'state', 'address-secret')
    const first = stableSecret(path)
    expect([first.secret.length, first.trouble]).toEqual([16, ''])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(directory, 'state')).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(directory, 'state'))).toEqual(['address-secret'])
    expect(stableSecret(path)).toEqual(first)
    // Of another machine with the same id it would be another.
    expect(stableSecret(join(directory, 'address-secret')).secret).not.toEqual(first.secret)
  })

  it.each([
    ['no directory', (path: string) => rmSync(dirname(dirname(path)), { recursive: true }), /ENOENT/],
    [
      'a file that others read',
      (path: string) => writeFileSync(path, 'ab'.repeat(16), { mode: 0o644 }),
      /chmod 600/,
    ],
    [
      'a file with something else',
      (path: string) => writeFileSync(path, 'hello', { mode: 0o600 }),
      /no secret/,
    ],
    ['a link', (path: string) => symlinkSync('/etc/machine-id', path), /ELOOP/],
    ['a directory', (path: string) => mkdirSync(path), /no file/],
  ] as const)('is new with every start, which is told, with %s', (_what, make, trouble) => {
    mkdirSync(join(directory, 'up', 'there'), { recursive: true })
    const file = join(directory, 'up', 'there', 'secret')
    make(file)
    const [one, other] = [stableSecret(file), stableSecret(file)]
    expect(one.secret).not.toEqual(other.secret)
    expect(one.trouble).toMatch(trouble)
    expect(one.trouble).toContain('change with every start')
  })

  it('lies in the state directory of the service', () => {
    expect(secretFile({ STATE_DIRECTORY: '/var/lib/a:/var/lib/b', XDG_STATE_HOME: '/x' })).toBe(
      '/var/lib/a/address-secret',
    )
    expect(secretFile({ XDG_STATE_HOME: '/x' })).toBe('/x/zcrx/address-secret')
    expect(secretFile({})).toBe('/var/lib/zcrx/address-secret')
  })

  it('makes the addresses of a host, and a host says when it can’t be kept', () => {
    const addresses = ['state', 'state', 'other'].map((name) => {
      const file = join(directory, name)
      const host = Host.open({ device: new MemoryLink({ seed: 1 }).b, address: 'auto', secretFile: file })
      const [own] = host.addresses
      expect(host.notes).toEqual([])
      host.close()
      return own!.toString()
    })
    expect(addresses[0]).toBe(addresses[1])
    expect(addresses[2]).not.toBe(addresses[0])
    const lost = Host.open({
      device: new MemoryLink({ seed: 1 }).b,
      address: 'auto',
      secretFile: '/proc/zcrx/address-secret',
    })
    expect(lost.notes.join()).toContain('change with every start')
    lost.close()
  })
})
