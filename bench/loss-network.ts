import { execFileSync, spawnSync } from 'node:child_process'

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' })

/**
 * Sender, middle and receiver, each in a network namespace: `s0` - `m0`, `m1` - `r0`. Sender and receiver have addresses on
 * one link; what is between them does not forward anything by itself.
 */
export class LossNetwork {
  readonly sender: string
  readonly middle: string
  readonly receiver: string
  readonly senderAddress = '10.78.0.1'
  readonly receiverAddress = '10.78.0.2'

  constructor() {
    const name = `zcrx-loss${process.pid}`
    this.sender = `${name}s`
    this.middle = `${name}m`
    this.receiver = `${name}r`
    try {
      this.#create()
    } catch (error) {
      this.remove()
      throw error
    }
  }

  remove(): void {
    for (const ns of [this.sender, this.middle, this.receiver])
      spawnSync('ip', ['netns', 'del', ns], { stdio: 'ignore' })
  }

  #create(): void {
    for (const ns of [this.sender, this.middle, this.receiver]) {
      ip('netns', 'add', ns)
      this.#run(ns, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6')
      ip('-n', ns, 'link', 'set', 'lo', 'up')
    }
    const ends = [
      {
        ns: this.sender,
        device: 's0',
        middle: 'm0',
        address: this.senderAddress,
        peer: this.receiverAddress,
      },
      {
        ns: this.receiver,
        device: 'r0',
        middle: 'm1',
        address: this.receiverAddress,
        peer: this.senderAddress,
      },
    ]
    for (const { ns, device, middle, address } of ends) {
      ip('-n', this.middle, 'link', 'add', middle, 'type', 'veth', 'peer', 'name', device, 'netns', ns)
      ip('-n', this.middle, 'link', 'set', middle, 'up')
      ip('-n', ns, 'link', 'set', device, 'up')
      ip('-n', ns, 'address', 'add', `${address}/24`, 'dev', device)
      // Frames as they would be on a wire: none larger than the MTU, and with checksums.
      this.#run(ns, 'ethtool', '-K', device, 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off')
    }
    const macs = ends.map(
      ({ ns, device }) => JSON.parse(ip('-n', ns, '-j', 'link', 'show', device))[0].address,
    )
    ends.forEach(({ ns, device, peer }, i) => {
      ip('-n', ns, 'neigh', 'add', peer, 'lladdr', macs[1 - i]!, 'dev', device)
    })
    // Through the route: a namespace may not choose one that the machine does not allow to everyone.
    const route = ['10.78.0.0/24', 'dev', 's0', 'proto', 'kernel', 'scope', 'link', 'src', this.senderAddress]
    ip('-n', this.sender, 'route', 'change', ...route, 'congctl', 'cubic')
    // The path alone limits the sender, and no run knows of the one before it.
    this.#set(this.sender, 'ipv4/tcp_wmem', '4096 65536 33554432')
    this.#set(this.sender, 'ipv4/tcp_no_metrics_save', '1')
  }

  #set(ns: string, name: string, value: string): void {
    this.#run(ns, 'sh', '-c', `echo "${value}" > /proc/sys/net/${name}`)
  }

  #run(ns: string, ...command: string[]): void {
    execFileSync('ip', ['netns', 'exec', ns, ...command], { stdio: 'pipe' })
  }
}
