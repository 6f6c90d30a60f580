import { MemoryLink } from '../../driver/memory/index.ts'
import type { Nic } from '../../driver/nic.ts'
import { NicError } from '../../errors.ts'
import type { DeviceKind } from './kind.ts'

/** One end of a link in this process: `memory:`, `memory:NAME`. The first to open a name gets one end, the second the other. */
export interface MemorySpec {
  readonly driver: 'memory'
  /** Of the link; may be empty. */
  readonly name: string
  /** Bytes of layer 3. */
  readonly mtu: number
}

export const memory: DeviceKind<MemorySpec> = {
  scheme: 'memory',
  form: 'memory:[NAME][?mtu=BYTES]',
  parse(text) {
    const { name } = text
    const settings = text.settings('mtu')
    return { driver: 'memory', name, mtu: text.number(settings, 'mtu', 576, 65_535) ?? 1500 }
  },
  open: ({ name, mtu }) => [openMemory(name, mtu)],
  several: 'each end of a memory link is one NIC, in one thread',
  candidates: ({ name }) => [{ name: 'memory', driver: 'memory', mode: 'memory', device: `memory:${name}` }],
}

/** Ends that wait for their second opener, by name. */
const waiting = new Map<string, MemoryLink>()

/** An end of the link of that name in this process: the first opener makes the link, the second joins it and frees the name. */
function openMemory(name: string, mtu: number): Nic {
  const link = waiting.get(name)
  if (link === undefined) {
    const fresh = new MemoryLink({ mtu })
    waiting.set(name, fresh)
    return closing(fresh.a, () => {
      if (waiting.get(name) === fresh) waiting.delete(name)
    })
  }
  if (link.b.info.mtu !== mtu)
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `memory:${name} was opened with an MTU of ${link.b.info.mtu}, not ${mtu}`,
      'open both ends with one',
    )
  waiting.delete(name)
  return link.b
}

/** Does more when the NIC is closed. */
function closing<T extends Nic>(nic: T, more: () => void): T {
  const close = nic.close.bind(nic)
  nic.close = () => {
    more()
    close()
  }
  return nic
}
