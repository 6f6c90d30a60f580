import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' })

/** A look takes a millisecond or more. */
const LINK_LOOKS = 200
const NAME = /^zcrx-bw(\d+)[sr]$/

/** The receiving end of a veth pair. */
export interface Link {
  readonly device: string
  readonly address: string
}

/** Namespaces of a sender and a receiver for this process, joined by veth pairs. Whoever made them removes them. */
export class WorkersNetwork {
  readonly links: readonly Link[]
  readonly #sender = `zcrx-bw${process.pid}s`
  readonly #receiver = `zcrx-bw${process.pid}r`

  /** @param queues of each pair, at both ends */
  constructor(pairs: number, queues: number) {
    removeStale()
    this.links = Array.from({ length: pairs }, (_, i) => ({ device: `r${i}`, address: `10.79.${i}.2` }))
    try {
      for (const ns of [this.#sender, this.#receiver]) {
        ip('netns', 'add', ns)
        execFileSync('ip', [
          'netns',
          'exec',
          ns,
          'sh',
          '-c',
          'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6',
        ])
        ip('-n', ns, 'link', 'set', 'lo', 'up')
      }
      for (let i = 0; i < pairs; i++) this.#join(i, queues)
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** Command line in front of what runs at the end. */
  get atSender(): string[] {
    return ['ip', 'netns', 'exec', this.#sender]
  }

  get atReceiver(): string[] {
    return ['ip', 'netns', 'exec', this.#receiver]
  }

  remove(): void {
    for (const ns of [this.#sender, this.#receiver])
      spawnSync('ip', ['netns', 'del', ns], { stdio: 'ignore' })
  }

  #join(i: number, queues: number): void {
    const many = queues > 1 ? ['numrxqueues', `${queues}`, 'numtxqueues', `${queues}`] : []
    const peer = ['peer', 'name', `s${i}`, 'netns', this.#sender]
    ip('-n', this.#receiver, 'link', 'add', `r${i}`, ...many, 'type', 'veth', ...peer)
    for (const [ns, device, host] of [
      [this.#receiver, `r${i}`, 2],
      [this.#sender, `s${i}`, 1],
    ] as const) {
      ip('-n', ns, 'address', 'add', `10.79.${i}.${host}/24`, 'dev', device)
      ip('-n', ns, 'link', 'set', device, 'up')
    }
    // The link comes up a moment after both ends are.
    for (let look = 0; look < LINK_LOOKS; look++)
      if (ip('-n', this.#receiver, 'link', 'show', `r${i}`).includes('LOWER_UP')) return
  }
}

/** Removes what processes that are no more have left behind. */
function removeStale(): void {
  if (!existsSync('/run/netns')) return
  for (const name of readdirSync('/run/netns')) {
    const pid = NAME.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' })
  }
}
