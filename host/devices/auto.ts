import { allocateArea, asNicMemory } from '../../driver/area.ts'
import { type LinkInfo, loadNative } from '../../driver/native/index.ts'
import type { Nic } from '../../driver/nic.ts'
import { PacketNic } from '../../driver/packet/index.ts'
import { RawNic } from '../../driver/raw/index.ts'
import { capabilities, inNamespace, interfaceDown, linkInfo, memlockLimit } from '../../driver/system.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import { NicError, type NicErrorCode } from '../../errors.ts'
import { DEFAULT_AREA_BYTES, OWN_AREA_BYTES } from '../../pages.ts'
import { XDP_TAIL_BYTES } from '../examine/checks/memory.ts'
import { linkFacts, presentLink } from '../examine/index.ts'
import { summarizeZcrx } from '../examine/zcrx-ways.ts'
import type { DeviceKind } from './kind.ts'
import { refuseLoopback } from './loopback.ts'
import { packetCandidate } from './packet.ts'
import { rawCandidate } from './raw.ts'
import { xdpCandidates } from './xdp.ts'

/** The best way into an interface that works: `auto:eth0`, `auto:eth0/1`. */
export interface AutoSpec {
  readonly driver: 'auto'
  /** Of the interface. */
  readonly name: string
  /** Receive queue, for the ways that have several. */
  readonly queue: number
  /** Network namespace that the interface is in; absent: the process's. */
  readonly netns?: string
}

export const auto: DeviceKind<AutoSpec> = {
  scheme: 'auto',
  form: 'auto:INTERFACE[/QUEUE][?netns=NAME]',
  parse(text) {
    const { name, first, last, queueAt } = text.interface(true)
    if (last !== first) throw text.wrong('auto takes one queue', queueAt)
    return { driver: 'auto', name, queue: first, ...text.netns(text.settings('netns')) }
  },
  open(spec, { areaBytes }) {
    refuseLoopback(spec)
    return [openAuto(spec, areaBytes)]
  },
  wanted: ({ name, queue, netns }) => ({ name, queue, netns }),
  candidates(spec, facts) {
    const [address = 'ADDRESS'] = presentLink(facts)?.addresses ?? []
    return [
      ...xdpCandidates({ ...spec, mode: 'auto', copy: 'auto' }),
      packetCandidate(spec),
      rawCandidate(address),
    ]
  },
  observe: (_spec, facts) => summarizeZcrx(facts),
}

/** Of the trial: one chunk would do, a queue that works takes these at once. */
const TRIAL_BYTES = 1 << 18

/** A NIC that says in its notes why it was taken. */
interface NotingNic extends Nic {
  note(text: string): void
}

/**
 * Opens the best way into an interface that works: AF_XDP (native before generic, zero-copy before copy, as the XDP
 * driver chooses), else a packet socket, else raw sockets on the machine's first address there. Why the better ones were
 * not taken is in the NIC's `notes`.
 * @param areaBytes of the area that is to be received into: AF_XDP locks it
 * @throws NicError with the reason of each way when none works
 */
export function openAuto(spec: AutoSpec, areaBytes: number = DEFAULT_AREA_BYTES): Nic {
  const { name, netns } = spec
  const native = loadNative()
  const facts = inNamespace(native, netns, () => linkInfo(native, name))
  if (!facts.up) throw interfaceDown(name)
  const ways: readonly (readonly [way: string, open: () => NotingNic])[] = [
    ['xdp', () => openXdp(spec, facts, areaBytes)],
    ['packet', () => PacketNic.open({ device: name, ...(netns === undefined ? {} : { netns }) })],
    ['raw', () => openRaw(spec)],
  ]
  const refusals: NicError[] = []
  const reasons: string[] = []
  for (const [way, open] of ways) {
    try {
      const nic = open()
      for (const reason of reasons) nic.note(`${way} was taken, not ${reason}`)
      return nic
    } catch (error) {
      if (!(error instanceof NicError)) throw error
      refusals.push(error)
      reasons.push(`${way}: ${error.message}`)
    }
  }
  throw new NicError(
    commonCode(refusals),
    `no way into ${name} works\n  ${reasons.join('\n  ')}`,
    doctorFor(spec),
  )
}

/** A queue that a socket can be bound to: whether it can is known only after it was. */
function openXdp({ name, queue, netns }: AutoSpec, facts: LinkInfo, areaBytes: number): XdpNic {
  if (!facts.loopback && facts.mac.every((byte) => byte === 0))
    throw new NicError('ZCRX_NIC_UNSUPPORTED', `${name} has no Ethernet address`)
  const need = Math.max(areaBytes, OWN_AREA_BYTES) + XDP_TAIL_BYTES
  const limit = memlockLimit()
  if (limit < need && !capabilities().has('CAP_IPC_LOCK')) {
    throw new NicError(
      'ZCRX_NIC_MEMLOCK',
      `${need} bytes have to be locked for ${name}, the limit is ${limit}`,
      `ulimit -l ${Math.ceil(need / 1024)}, or CAP_IPC_LOCK`,
    )
  }
  const nic = XdpNic.open({ device: name, queue, ...(netns === undefined ? {} : { netns }) })
  try {
    nic.attach(asNicMemory(allocateArea(TRIAL_BYTES, nic.info.tailBytes)))
    nic.detach()
    return nic
  } catch (error) {
    nic.close()
    throw error
  }
}

function openRaw({ name, netns }: AutoSpec): RawNic {
  const native = loadNative()
  const facts = inNamespace(native, netns, () => linkFacts(native, name))
  const address = 'missing' in facts ? undefined : facts.addresses[0]
  if (address === undefined)
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `${name} has no address of the machine's`,
      `ip address add … dev ${name}`,
    )
  return RawNic.open({ address, ...(netns === undefined ? {} : { netns }) })
}

/** What all of them say, if they say the same. */
function commonCode(refusals: readonly NicError[]): NicErrorCode {
  const [first] = refusals
  return first !== undefined && refusals.every(({ code }) => code === first.code)
    ? first.code
    : 'ZCRX_NIC_UNSUPPORTED'
}

function doctorFor({ name, queue, netns }: AutoSpec): string {
  return `zcrxd doctor auto:${name}${queue === 0 ? '' : `/${queue}`}${netns === undefined ? '' : `?netns=${netns}`}`
}
