import { loadNative } from '../../driver/native/index.ts'
import type { Nic } from '../../driver/nic.ts'
import { inNamespace } from '../../driver/system.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import { ArgumentError } from '../../errors.ts'
import type { Candidate } from '../examine/index.ts'
import type { DeviceKind, QueueShare, SeveralQueues } from './kind.ts'
import { refuseLoopback } from './loopback.ts'
import { settingsText } from './text.ts'

/** A queue of an interface over AF_XDP: `xdp:eth0`, `xdp:eth0/2`, `xdp:eth0/0-3`, `xdp:eth0?mode=zerocopy`. */
export interface XdpSpec {
  readonly driver: 'xdp'
  /** Of the interface. */
  readonly name: string
  /** The first receive queue. */
  readonly queue: number
  /** How many queues, from that one on; each has a NIC and a stack. */
  readonly queues: number
  /** Where the program is attached: in the driver, behind it, or in the first of the two that works. */
  readonly mode: 'auto' | 'native' | 'generic'
  /** Whether the device writes to the area itself, or the kernel copies; `auto`: the former where it works. */
  readonly copy: 'auto' | 'copy' | 'zerocopy'
  /** Network namespace that the interface is in; absent: the process's. */
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
  several: receiveQueues(),
  wanted: ({ name, queue, queues, mode, copy, netns }) => ({ name, queue, queues, mode, copy, netns }),
  candidates: xdpCandidates,
}

/** The queues share one program: the first brings it, the others take part in it. */
function openQueues(spec: XdpSpec): Nic[] {
  refuseLoopback(spec)
  const nics: XdpNic[] = []
  try {
    for (let i = 0; i < spec.queues; i++)
      nics.push(openOne({ ...spec, queue: spec.queue + i }, spec.queues, nics[0]?.shareHook() ?? null))
    return nics
  } catch (error) {
    for (const nic of nics) nic.close()
    throw error
  }
}

/** @param count queues that are opened, with this one @param hook what the first of them brought; null for itself */
function openOne(spec: XdpSpec, count: number, hook: QueueShare | null): XdpNic {
  const { name, queue, mode, copy, netns } = spec
  const several = hook === null && count > 1 && isVeth(spec)
  const nic = XdpNic.open({
    device: name,
    queue,
    mode: several && mode === 'auto' ? 'native' : mode,
    copy,
    ...(netns === undefined ? {} : { netns }),
    ...(hook === null ? {} : { hook }),
  })
  if (several && mode === 'auto')
    nic.note(`native XDP on the veth ${name}: generic XDP would see the frames of every queue at queue 0`)
  if (several && mode === 'generic')
    nic.note(`generic XDP sees the frames of every queue of the veth ${name} at queue 0: the others get none`)
  return nic
}

function isVeth({ name, netns }: XdpSpec): boolean {
  const native = loadNative()
  const facts = inNamespace(native, netns, () => native.linkInfo(name))
  return typeof facts !== 'number' && facts.driver === 'veth'
}

/** An AF_XDP socket gets the frames of its own queue only: as many NICs as the interface has queues, no more and no fewer. */
function receiveQueues(): SeveralQueues<XdpSpec> {
  return {
    all: (_spec, { link }) => link?.rxQueues ?? 1,
    split(text, { name, queue }, count, { link }) {
      const there = link?.rxQueues ?? 1
      if (queue + count > there)
        throw new ArgumentError(
          `${name} has ${there === 1 ? 'one receive queue' : `${there} receive queues`}, and there would be ${queue + count}`,
          `ethtool -L ${name} combined ${queue + count}, or take fewer: an AF_XDP socket gets the frames of its own queue only`,
        )
      const question = text.indexOf('?')
      const settings = question < 0 ? '' : text.slice(question)
      return Array.from({ length: count }, (_, i) => `xdp:${name}/${queue + i}${settings}`)
    },
    open(spec, { index, count }, share) {
      refuseLoopback(spec)
      const nic = openOne(spec, count, share)
      return { nic, share: index === 0 && count > 1 ? nic.shareHook() : null }
    },
    words: ({ name }, { link }) => ({
      what: link?.rxQueues === 1 ? 'the one receive queue there is' : `the receive queues of ${name}`,
      spread:
        link?.driver === 'veth'
          ? 'the sender spreads connections over them: its transmit queue, by a hash of each or by CPU (XPS), is our receive queue'
          : `the device spreads connections over them by a hash of addresses and ports (RSS): ethtool -x ${name} shows how`,
    }),
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
