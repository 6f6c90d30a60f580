import { randomInt } from 'node:crypto'
import { PacketNic } from '../../driver/packet/index.ts'
import type { Candidate } from '../examine/index.ts'
import { checkCount, type DeviceKind, type SeveralQueues, workersFor } from './kind.ts'
import { refuseLoopback } from './loopback.ts'
import { settingsText, withSetting } from './text.ts'

/** A packet socket: `packet:eth0`, `packet:eth0?fanout=7`. */
export interface PacketSpec {
  readonly driver: 'packet'
  /** Of the interface. */
  readonly name: string
  /** Group that frames are shared out in; absent: every frame comes here. */
  readonly fanout?: number
  /** What keeps the host's kernel from answering for an address of its own. */
  readonly guard: 'auto' | 'socket' | 'nftables'
  /** Network namespace that the interface is in; absent: the process's. */
  readonly netns?: string
}

export const packet: DeviceKind<PacketSpec> = {
  scheme: 'packet',
  form: 'packet:INTERFACE[?fanout=GROUP&guard=auto|socket|nftables&netns=NAME]',
  parse(text) {
    const { name } = text.interface(false)
    const settings = text.settings('fanout', 'guard', 'netns')
    const fanout = text.number(settings, 'fanout', 0, 65_535)
    return {
      driver: 'packet',
      name,
      ...(fanout === null ? {} : { fanout }),
      guard: text.choice(settings, 'guard', ['auto', 'socket', 'nftables'] as const, 'auto'),
      ...text.netns(settings),
    }
  },
  open: (spec) => [openPacket(spec)],
  several: fanoutMembers(),
  wanted: ({ name, netns }) => ({ name, netns }),
  candidates: (spec) => [packetCandidate(spec)],
}

function openPacket(spec: PacketSpec): PacketNic {
  refuseLoopback(spec)
  const { name, fanout, guard, netns } = spec
  return PacketNic.open({
    device: name,
    guard,
    ...(fanout === undefined ? {} : { fanout: { group: fanout } }),
    ...(netns === undefined ? {} : { netns }),
  })
}

/** PACKET_FANOUT_MAX of linux/if_packet.h before it could be raised. */
const MOST_MEMBERS = 256

/** Sockets of one group: any number of them. */
function fanoutMembers(): SeveralQueues<PacketSpec> {
  return {
    all: (_spec, { cores }) => workersFor(cores),
    split(text, { fanout }, count) {
      checkCount(text, count, MOST_MEMBERS, 'sockets in a fanout group')
      // Groups are the network namespace's: another program may have any number of them.
      const group = fanout === undefined ? withSetting(text, `fanout=${randomInt(65_536)}`) : text
      return Array<string>(count).fill(group)
    },
    open: (spec) => ({ nic: openPacket(spec), share: null }),
    words: () => ({
      what: 'sockets of one fanout group',
      spread: 'Linux spreads connections over them by a hash of addresses and ports',
    }),
  }
}

export function packetCandidate(spec: Pick<PacketSpec, 'name' | 'fanout' | 'netns'>): Candidate {
  const more = spec.fanout === undefined ? [] : [`fanout=${spec.fanout}`]
  const device = `packet:${spec.name}${settingsText(spec, more)}`
  return { name: 'packet', driver: 'packet', mode: 'tpacket_v3 vnet_hdr copy', device }
}
