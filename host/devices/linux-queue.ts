import { LINUX_SOCKETS, observeSockets, observeZcrx, zcrxCandidates } from '../examine/zcrx-ways.ts'
import type { DeviceKind } from './kind.ts'
import { DeviceText, settingsText } from './text.ts'

/**
 * Linux's own rings: `linux:eth0/5` is zero-copy receive on a queue, `linux:eth0/0-3` on several, `linux:eth0` on any that there
 * is, `linux:` ordinary sockets. No NIC of ours is opened for it: here is what its strings mean and what an examination says.
 */
export interface LinuxSpec {
  readonly driver: 'linux'
  /** Empty for ordinary sockets. */
  readonly name: string
  /** The first receive queue. */
  readonly queue: number
  /** 0 = all that there are. */
  readonly queues: number
  /** Network namespace that the interface is in; absent: the process's. */
  readonly netns?: string
}

export const LINUX_SCHEME = 'linux'

/** What of a `DeviceKind` holds for it. */
export const linuxQueue: Pick<
  DeviceKind<LinuxSpec>,
  'scheme' | 'form' | 'parse' | 'wanted' | 'candidates' | 'observe'
> = {
  scheme: LINUX_SCHEME,
  form: 'linux:[INTERFACE[/QUEUE[-LAST]]][?netns=NAME]',
  parse(text) {
    const settings = text.settings('netns')
    const place = text.netns(settings)
    if (text.name === '') return { driver: 'linux', name: '', queue: 0, queues: 0, ...place }
    const { name, first, last } = text.interface(true)
    const queues = text.name.includes('/') ? last - first + 1 : 0
    return { driver: 'linux', name, queue: first, queues, ...place }
  },
  wanted: ({ name, queue, queues, netns }) => (name === '' ? {} : { name, queue, queues, netns }),
  candidates: (spec, facts) =>
    spec.name === ''
      ? [{ name: LINUX_SOCKETS, driver: 'linux', mode: 'ordinary sockets', device: 'linux:' }]
      : zcrxCandidates(facts, settingsText(spec)),
  observe: (spec, facts) =>
    spec.name === '' ? observeSockets(facts) : observeZcrx(facts, facts.wanted.ports ?? []),
}

/** Whether a device string is one of these. */
export function isLinuxDevice(text: string): boolean {
  return text.startsWith(`${LINUX_SCHEME}:`)
}

/** @throws DeviceError that shows where the string is wrong */
export function parseLinuxDevice(text: string): LinuxSpec {
  return linuxQueue.parse(new DeviceText(text, linuxQueue))
}
