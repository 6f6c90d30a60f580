import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

/** Two fresh network namespaces joined by a veth pair, for tests. */

let created = 0
const live = new Set<VethPair>()

process.once('exit', () => {
  for (const pair of live) pair.destroy()
})

/** Namespaces of test processes that were killed, so could not remove them: their names have the process. */
export function sweep(): void {
  if (!existsSync('/run/netns')) return
  for (const name of readdirSync('/run/netns')) {
    const pid = /^zcrx-t(\d+)-\d+[op]$/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' })
  }
}

export interface VethPairOptions {
  mtu?: number
  /** Queues. */
  queues?: number
  /** Both ends have IPv6 addresses too; otherwise IPv6 is off, so that nothing is sent that a test did not ask for. */
  ipv6?: boolean
}

export class VethPair {
  /** Namespaces: ours has the interface the stack opens, the peer is an ordinary Linux. */
  readonly ours: string
  readonly peer: string
  /** Path for `netns` options. */
  readonly oursPath: string
  readonly device = 'zc0'
  readonly peerDevice = 'zc1'
  readonly ourAddress = '10.77.0.2'
  readonly peerAddress = '10.77.0.1'
  readonly ourAddress6 = 'fd00:77::2'
  readonly peerAddress6 = 'fd00:77::1'

  constructor({ mtu = 1500, queues = 1, ipv6 = false }: VethPairOptions = {}) {
    if (created === 0) sweep()
    const name = `zcrx-t${process.pid}-${created++}`
    this.ours = `${name}o`
    this.peer = `${name}p`
    this.oursPath = `/run/netns/${this.ours}`
    live.add(this)
    try {
      for (const ns of [this.ours, this.peer]) {
        ip('netns', 'add', ns)
        if (!ipv6) this.run(ns, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6')
        ip('-n', ns, 'link', 'set', 'lo', 'up')
      }
      const peer = ['peer', 'name', this.peerDevice, 'netns', this.peer]
      // Said for one end, a number of queues holds for both; unsaid, both have one.
      const many = queues > 1 ? ['numrxqueues', `${queues}`, 'numtxqueues', `${queues}`] : []
      ip('-n', this.ours, 'link', 'add', this.device, ...many, 'type', 'veth', ...peer)
      for (const [ns, device, address, address6] of [
        [this.ours, this.device, this.ourAddress, this.ourAddress6],
        [this.peer, this.peerDevice, this.peerAddress, this.peerAddress6],
      ] as const) {
        ip('-n', ns, 'link', 'set', device, 'mtu', `${mtu}`, 'up')
        ip('-n', ns, 'address', 'add', `${address}/24`, 'dev', device)
        if (ipv6) ip('-n', ns, 'address', 'add', `${address6}/64`, 'dev', device, 'nodad')
      }
      // The link comes up a moment after both ends are.
      for (
        let i = 0;
        i < 50 && !/"LOWER_UP"/.test(ip('-n', this.peer, '-j', 'link', 'show', this.peerDevice));
        i++
      ) {
        spawnSync('sleep', ['0.01'])
      }
    } catch (error) {
      this.destroy()
      throw error
    }
  }

  /** Runs a program to its end in a namespace; its output. */
  run(ns: string, command: string, ...args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', ns, command, ...args], { encoding: 'utf8', stdio: 'pipe' })
  }

  /** Starts a program in a namespace. */
  start(ns: string, command: string, ...args: string[]): ChildProcess {
    return spawn('ip', ['netns', 'exec', ns, command, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  }

  /** XDP program on our interface, as `ip -j link` shows it. */
  xdpProgram(): { id: number; name?: string } | undefined {
    const [link] = JSON.parse(ip('-n', this.ours, '-j', '-d', 'link', 'show', this.device))
    return link.xdp?.prog
  }

  destroy(): void {
    if (!live.delete(this)) return
    for (const ns of [this.ours, this.peer]) spawnSync('ip', ['netns', 'del', ns], { stdio: 'ignore' })
  }

  [Symbol.dispose](): void {
    this.destroy()
  }
}

/** Runs ip(8); its output. */
export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' })
}
