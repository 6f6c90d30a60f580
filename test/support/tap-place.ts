import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { TapNic, type TapNicOptions } from '../../driver/tap/index.ts'
import { ip } from './netns.ts'

let created = 0
const live = new Set<TapPlace>()

process.once('exit', () => {
  for (const place of live) place.destroy()
})

/** A fresh network namespace for a TAP device: Linux has its end there, the stack the other. Addresses are a veth pair's. */
export class TapPlace {
  readonly peer: string
  readonly peerPath: string
  readonly peerDevice = 'zt0'
  readonly peerAddress = '10.77.0.1'
  readonly peerAddress6 = 'fd00:77::1'
  readonly #ipv6: boolean

  constructor({ ipv6 = false }: { ipv6?: boolean } = {}) {
    this.#ipv6 = ipv6
    this.peer = `zcrx-t${process.pid}-${created++}t`
    this.peerPath = `/run/netns/${this.peer}`
    live.add(this)
    try {
      ip('netns', 'add', this.peer)
      if (!ipv6) this.run(this.peer, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6')
      ip('-n', this.peer, 'link', 'set', 'lo', 'up')
    } catch (error) {
      this.destroy()
      throw error
    }
  }

  /** Opens the device; the kernel's end has its addresses when this returns. */
  open(options: Partial<TapNicOptions> = {}): TapNic {
    const nic = TapNic.open({ device: this.peerDevice, netns: this.peerPath, ...options })
    if (!nic.created) return nic
    ip('-n', this.peer, 'address', 'add', `${this.peerAddress}/24`, 'dev', this.peerDevice)
    if (this.#ipv6)
      ip('-n', this.peer, 'address', 'add', `${this.peerAddress6}/64`, 'dev', this.peerDevice, 'nodad')
    return nic
  }

  /** Runs a program to its end in the namespace; its output. */
  run(ns: string, command: string, ...args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', ns, command, ...args], { encoding: 'utf8', stdio: 'pipe' })
  }

  /** Starts a program in the namespace. */
  start(ns: string, command: string, ...args: string[]): ChildProcess {
    return spawn('ip', ['netns', 'exec', ns, command, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  }

  /** Whether the device is there. */
  get exists(): boolean {
    return (
      spawnSync('ip', ['-n', this.peer, 'link', 'show', this.peerDevice], { stdio: 'ignore' }).status === 0
    )
  }

  destroy(): void {
    if (!live.delete(this)) return
    spawnSync('ip', ['netns', 'del', this.peer], { stdio: 'ignore' })
  }
}
