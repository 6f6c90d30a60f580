import type { Nic } from '../../driver/nic.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import type { Candidate } from '../examine/index.ts'
import type { DeviceKind } from './kind.ts'
import { refuseLoopback } from './loopback.ts'
import { settingsText } from './text.ts'

/** A queue of an interface over AF_XDP: `xdp:eth0`, `xdp:eth0/2`, `xdp:eth0/0-3`, `xdp:eth0?mode=zerocopy`. */
export interface XdpSpec {
  readonly driver: 'xdp'
  readonly name: string
  /** The first receive queue. */
  readonly queue: number
  /** How many queues, from that one on; each has a NIC and a stack. */
  readonly queues: number
  readonly mode: 'auto' | 'native' | 'generic'
  readonly copy: 'auto' | 'copy' | 'zerocopy'
  readonly netns?: string
}

export const xdp: DeviceKind<XdpSpec> = {
  scheme: 'xdp',
  form: 'xdp:INTERFACE[/QUEUE[-LAST]][?mode=auto|native|generic|zerocopy&copy=auto|copy|zerocopy&netns=NAME]',
  parse(text) {
    const { name, first, last } = text.interface(true)
    const settings = text.settings('mode', 'copy', 'netns')
    const mode = text.choice(settings, 'mode', ['auto', 'native', 'generic', 'zerocopy'] as const, 'auto')
    const copy = text.choice(settings, 'copy', ['auto', 'copy', 'zerocopy'] as const, 'auto')
    if (mode === 'zerocopy' && copy === 'copy')
      throw text.wrong('mode=zerocopy is the contrary of copy=copy', settings.get('copy')!.at)
    return {
      driver: 'xdp',
      name,
      queue: first,
      queues: last - first + 1,
      mode: mode === 'zerocopy' ? 'native' : mode,
      copy: mode === 'zerocopy' ? 'zerocopy' : copy,
      ...text.netns(settings),
    }
  },
  open: openQueues,
  queues: ({ queues }) => queues,
  wanted: ({ name, queue, queues, mode, copy, netns }) => ({ name, queue, queues, mode, copy, netns }),
  candidates: xdpCandidates,
}

/** The queues share one program: the first brings it, the others take part in it. */
function openQueues(spec: XdpSpec): Nic[] {
  refuseLoopback(spec)
  const { name, mode, copy, netns } = spec
  const nics: XdpNic[] = []
  try {
    for (let queue = spec.queue; queue < spec.queue + spec.queues; queue++) {
      const hook = nics[0]?.shareHook()
      nics.push(
        XdpNic.open({
          device: name,
          queue,
          mode,
          copy,
          ...(netns === undefined ? {} : { netns }),
          ...(hook === undefined ? {} : { hook }),
        }),
      )
    }
    return nics
  } catch (error) {
    for (const nic of nics) nic.close()
    throw error
  }
}

/** Native before generic, zero-copy before copy. `copy: 'zerocopy'` is a wish. */
export function xdpCandidates(spec: Omit<XdpSpec, 'driver' | 'queues'>): Candidate[] {
  const { name, queue, mode, copy } = spec
  const of = (way: string, says: string, ...more: string[]): Candidate => ({
    name: way,
    driver: 'xdp',
    mode: says,
    device: `xdp:${name}/${queue}${settingsText(spec, more)}`,
  })
  const candidates: Candidate[] = []
  if (mode !== 'generic') {
    if (copy !== 'copy') candidates.push(of('xdp zero-copy', 'native zero-copy', 'mode=zerocopy'))
    candidates.push(of('xdp native', 'native copy', 'mode=native', 'copy=copy'))
  }
  if (mode !== 'native') candidates.push(of('xdp generic', 'generic copy', 'mode=generic'))
  return candidates
}
