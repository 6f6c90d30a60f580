import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { congestionControlOf, isStale, NetworkPair, removeStale } from '../../daemon/netns.ts'
import { PYTHON } from '../support/python.ts'

describe('names', () => {
  it('belong to a process by id and start time', () => {
    const running = (pid: number): string | undefined => (pid === 12 ? 'abc' : undefined)
    expect(isStale('zcrx-12-abc-tx', running)).toBe(false)
    expect(isStale('zcrx-12-abd-rx', running)).toBe(true)
    expect(isStale('zcrx-13-abc-rx', running)).toBe(true)
    for (const foreign of [
      'blue',
      'zcrx',
      'zcrx-12',
      'zcrx-13-abc-a',
      'my-zcrx-13-abc-rx',
      'zcrx-x-abc-rx',
    ]) {
      expect(isStale(foreign, running)).toBe(false)
    }
  })
})

describe('congestion control in the output of ss', () => {
  const line = (rest: string): string => `0      327521 198.18.0.1:55276 198.18.0.2:5201 ${rest}`

  it.each([
    ['cubic wscale:10,10 rto:204', 'cubic'],
    ['ts sack bbr wscale:7,7', 'bbr'],
    ['ts sack ecn ecnseen reno', 'reno'],
  ])('%s', (rest, name) => expect(congestionControlOf(line(rest), '198.18.0.2:5201')).toBe(name))

  it('names each once, and only of that peer', () => {
    const output = [
      line('cubic wscale'),
      line('cubic wscale'),
      line('reno wscale'),
      '0 0 1.2.3.4:5 6.7.8.9:10 bbr',
    ].join('\n')
    expect(congestionControlOf(output, '198.18.0.2:5201')).toBe('cubic,reno')
    expect(congestionControlOf('', '198.18.0.2:5201')).toBeUndefined()
  })
})

const obstacle = process.getuid?.() === 0 ? '' : 'not root, so no network namespaces'
if (obstacle !== '') console.warn(`namespace tests are skipped: ${obstacle}`)

describe.skipIf(obstacle !== '')('NetworkPair', () => {
  let pair: NetworkPair | undefined
  afterEach(() => pair?.remove())

  const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' })
  const ours = (): string[] =>
    readdirSync('/run/netns').filter((name) => name.startsWith(`zcrx-${process.pid}-`))

  it.each([1500, 65535])(
    'makes a link of MTU %i that carries packets, and takes it all away',
    async (mtu) => {
      pair = await NetworkPair.create(mtu)
      expect(ours().length).toBe(2)
      const { sender, receiver } = pair
      for (const end of [sender, receiver]) {
        const [link] = JSON.parse(ip('-j', '-n', end.namespace, 'link', 'show', end.device))
        expect(link.mtu).toBe(mtu)
        // No IPv6: not even a link-local address.
        expect(ip('-6', '-n', end.namespace, 'addr')).toBe('')
      }
      const neighbour = `import socket; socket.create_connection(('${receiver.address}', 9), 2)`
      const attempt = spawnSync('ip', ['netns', 'exec', sender.namespace, PYTHON, '-c', neighbour], {
        encoding: 'utf8',
      })
      // Refused means that the other end has answered.
      expect(attempt.stderr).toContain('Connection refused')
      pair.remove()
      pair.remove()
      expect(ours()).toEqual([])
    },
  )

  it('lets the sender use cubic whatever the machine’s default', async () => {
    pair = await NetworkPair.create(1500)
    await pair.setCongestionControl('cubic')
    expect(ip('-n', pair.sender.namespace, 'route', 'show')).toContain('congctl cubic')
    await expect(pair.setCongestionControl('nonesuch')).rejects.toThrow('nonesuch')
  })

  it('removes what dead processes left, and nothing else', async () => {
    pair = await NetworkPair.create(1500)
    const stale = 'zcrx-4194305-0-tx'
    ip('netns', 'add', stale)
    expect(removeStale()).toContain(stale)
    expect(readdirSync('/run/netns')).not.toContain(stale)
    expect(ours().length).toBe(2)
  })
})
