import { execFile, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { processStart } from '../driver/system.ts'
import { ZcrxError } from './api.ts'

/** Where `ip netns` keeps its names. */
const NETNS_DIRECTORY = '/run/netns'
const NAME = /^zcrx-(\d+)-([0-9a-z]+)-(tx|rx)$/

/** A look takes a millisecond or more. */
const LINK_LOOKS = 200

/** One end of the link. */
export interface LinkEnd {
  readonly namespace: string
  readonly device: string
  /** Dotted IPv4, out of the range kept for benchmarks (RFC 2544). */
  readonly address: string
}

/** The environment with the places where `ip` and `ss` live, which a plain user's PATH often lacks. */
export function systemEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` }
}

/**
 * Two network namespaces joined by a veth pair, made for this process and named after it. The pair never shows up in the
 * machine's own namespace. Whoever made it removes it: `remove` is idempotent and synchronous, so that it also works in
 * an `exit` handler.
 */
export class NetworkPair {
  readonly sender: LinkEnd
  readonly receiver: LinkEnd
  readonly mtu: number
  /** A TAP device in the sender's namespace, for whoever opens it there: the kernel's end, and the address of the other. */
  readonly tap = { device: 'zcrx-tap', address: '198.18.1.1', peerAddress: '198.18.1.2' } as const
  #removed = false

  private constructor(sender: LinkEnd, receiver: LinkEnd, mtu: number) {
    this.sender = sender
    this.receiver = receiver
    this.mtu = mtu
  }

  /** @param mtu,queues of both ends. @throws ZcrxError when the kernel refuses; nothing is left behind then */
  static async create(mtu: number, queues = 1): Promise<NetworkPair> {
    removeStale()
    const base = `zcrx-${process.pid}-${startTime(process.pid) ?? '0'}`
    const pair = new NetworkPair(
      { namespace: `${base}-tx`, device: 'zcrx-tx', address: '198.18.0.1' },
      { namespace: `${base}-rx`, device: 'zcrx-rx', address: '198.18.0.2' },
      mtu,
    )
    try {
      await pair.#build(String(queues))
    } catch (error) {
      pair.remove()
      throw error
    }
    return pair
  }

  async #build(queues: string): Promise<void> {
    const { sender, receiver } = this
    const mtu = String(this.mtu)
    await ip('netns', 'add', sender.namespace)
    await ip('netns', 'add', receiver.namespace)
    for (const { namespace } of [sender, receiver]) await disableIpv6(namespace)
    await ip(
      ...['-n', sender.namespace, 'link', 'add', sender.device, 'mtu', mtu],
      ...['numtxqueues', queues, 'numrxqueues', queues, 'type', 'veth'],
      ...['peer', 'name', receiver.device, 'mtu', mtu, 'numtxqueues', queues, 'numrxqueues', queues],
      ...['netns', receiver.namespace],
    )
    for (const { namespace, device, address } of [sender, receiver]) {
      await ip('-n', namespace, 'addr', 'add', `${address}/30`, 'dev', device)
      await ip('-n', namespace, 'link', 'set', 'lo', 'up')
      await ip('-n', namespace, 'link', 'set', device, 'up')
    }
    await this.#running()
  }

  /** The link comes up a moment after both ends are; before, Node sees no addresses on it. */
  async #running(): Promise<void> {
    const { namespace, device } = this.receiver
    for (let i = 0; i < LINK_LOOKS; i++) {
      if ((await ip('-n', namespace, 'link', 'show', device)).includes('LOWER_UP')) return
    }
  }

  /**
   * Makes the sender's connections over the link use congestion control `name`. Through the route, because a namespace
   * may not choose one that the machine does not allow to everyone. @throws ZcrxError when the kernel does not have it
   * @param end of the sender's: the veth's, or `tap`
   */
  async setCongestionControl(
    name: string,
    end: { device: string; address: string } = this.sender,
  ): Promise<void> {
    const { device, address } = end
    const network = address.replace(/\d+$/, '0/30')
    await ip(
      ...['-n', this.sender.namespace, 'route', 'change', network, 'dev', device],
      ...['proto', 'kernel', 'scope', 'link', 'src', address, 'congctl', name],
    )
  }

  /** Gives the kernel its address on the TAP device that somebody has opened. */
  async addTapAddress(): Promise<void> {
    const { device, address } = this.tap
    await ip('-n', this.sender.namespace, 'addr', 'add', `${address}/30`, 'dev', device)
  }

  /** Command line that runs `command` inside the namespace of `end`. */
  static enter(end: LinkEnd): { command: string; args: string[] } {
    return { command: 'ip', args: ['netns', 'exec', end.namespace] }
  }

  /** Removes both namespaces and with them the link. */
  remove(): void {
    if (this.#removed) return
    this.#removed = true
    for (const { namespace } of [this.sender, this.receiver]) deleteNamespace(namespace)
  }
}

/**
 * The congestion control of the live connections to `address:port`, as `ss` shows it, seen from `end` (absent: from
 * here). Several are joined by a comma; undefined when it can't be told.
 */
export async function liveCongestionControl(
  end: LinkEnd | undefined,
  address: string,
  port: number,
): Promise<string | undefined> {
  const filter = ['-tinHO', 'state', 'established', 'dst', `${address}:${port}`]
  const [command, args] =
    end === undefined ? ['ss', filter] : ['ip', ['netns', 'exec', end.namespace, 'ss', ...filter]]
  try {
    return congestionControlOf(await execute(command, args), `${address}:${port}`)
  } catch {
    return undefined
  }
}

/** Reads the names out of what `ss -tinHO` printed for connections to `peer`. */
export function congestionControlOf(output: string, peer: string): string | undefined {
  const names = new Set<string>()
  for (const line of output.split('\n')) {
    const at = line.indexOf(`${peer} `)
    if (at < 0) continue
    // Behind the addresses come flags such as "ts sack", then the congestion control, then "wscale:…" and others.
    const words = line
      .slice(at + peer.length)
      .trim()
      .split(/\s+/)
    const name = words.find(
      (word) => /^[a-z]+$/.test(word) && !['ts', 'sack', 'ecn', 'ecnseen', 'fastopen'].includes(word),
    )
    if (name !== undefined) names.add(name)
  }
  return names.size === 0 ? undefined : [...names].join(',')
}

/** Removes namespaces that demo processes no longer alive have left behind. Returns their names. */
export function removeStale(): string[] {
  let names: string[] = []
  try {
    names = readdirSync(NETNS_DIRECTORY)
  } catch {
    // No namespace has ever been made.
  }
  const stale = names.filter((name) => isStale(name, startTime))
  for (const name of stale) deleteNamespace(name)
  return stale
}

/** Whether `name` is one of ours whose process is gone. @param startOf start time of a process, undefined: no such one */
export function isStale(name: string, startOf: (pid: number) => string | undefined): boolean {
  const match = NAME.exec(name)
  return match !== null && startOf(Number(match[1])) !== match[2]
}

/** Start of a process in clock ticks since boot, base 36; tells apart processes that had the same id. */
function startTime(pid: number): string | undefined {
  const ticks = processStart(pid)
  return ticks === undefined ? undefined : Number(ticks).toString(36)
}

function deleteNamespace(name: string): void {
  spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore', env: systemEnvironment() })
}

async function disableIpv6(namespace: string): Promise<void> {
  const script =
    'for f in all default; do p=/proc/sys/net/ipv6/conf/$f/disable_ipv6; [ ! -e $p ] || echo 1 > $p; done'
  await ip('netns', 'exec', namespace, 'sh', '-c', script)
}

async function ip(...args: string[]): Promise<string> {
  return execute('ip', args)
}

function execute(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { env: systemEnvironment() }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      const reason = missing ? 'command not found' : stderr.trim().split('\n')[0] || error.message
      reject(
        new ZcrxError(
          missing ? 'ZCRXD_NO_COMMAND' : 'ZCRXD_NETNS',
          `${command} ${args.join(' ')}: ${reason}`,
          missing ? 'install iproute2' : 'run as root on a machine that allows network namespaces',
          { cause: error },
        ),
      )
    })
  })
}
