import type { Nic } from '../../driver/nic.ts'
import { PacketNic } from '../../driver/packet/index.ts'
import { RawNic } from '../../driver/raw/index.ts'
import { TapNic } from '../../driver/tap/index.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import { ArgumentError } from '../../errors.ts'
import { PcapNic } from '../../pcap/play/index.ts'
import { openAuto } from './auto.ts'
import { refuseLoopback, refuseLoopbackAddress } from './loopback.ts'
import { openMemory } from './memory.ts'
import { parseDevice } from './parse.ts'
import type { DeviceSpec, PacketSpec, TapSpec, XdpSpec } from './spec.ts'

export interface OpenOptions {
  /** Bytes of the area that is to be received into, for `auto:` to see whether they may be locked; default 64 MiB. */
  readonly areaBytes?: number
}

/** Opens the NIC that a device string names. @throws ArgumentError, NicError */
export function openDevice(text: string, options: OpenOptions = {}): Nic {
  const spec = parseDevice(text)
  if (spec.driver === 'xdp' && spec.queues > 1)
    throw new ArgumentError(`"${text}" names ${spec.queues} queues`, 'openDevices opens each')
  return openSpec(spec, options)
}

/** Opens every NIC that a device string names: one, or one for each queue of a range. @throws ArgumentError, NicError */
export function openDevices(text: string, options: OpenOptions = {}): Nic[] {
  const spec = parseDevice(text)
  return spec.driver === 'xdp' && spec.queues > 1 ? openQueues(spec) : [openSpec(spec, options)]
}

function openSpec(spec: DeviceSpec, { areaBytes }: OpenOptions): Nic {
  switch (spec.driver) {
    case 'xdp':
      refuseLoopback(spec)
      return XdpNic.open(xdpOptions(spec, spec.queue))
    case 'tap':
      return TapNic.open(tapOptions(spec))
    case 'memory':
      return openMemory(spec.name, spec.mtu)
    case 'packet':
      refuseLoopback(spec)
      return PacketNic.open(packetOptions(spec))
    case 'raw':
      refuseLoopbackAddress(spec.address)
      return RawNic.open({ address: spec.address })
    case 'auto':
      refuseLoopback(spec)
      return openAuto(spec, areaBytes)
    case 'pcap':
      return PcapNic.open(spec.file)
  }
}

/** The queues share one program: the first brings it, the others take part in it. */
function openQueues(spec: XdpSpec): Nic[] {
  refuseLoopback(spec)
  const nics: XdpNic[] = []
  try {
    for (let queue = spec.queue; queue < spec.queue + spec.queues; queue++) {
      const hook = nics[0]?.shareHook()
      nics.push(XdpNic.open({ ...xdpOptions(spec, queue), ...(hook === undefined ? {} : { hook }) }))
    }
    return nics
  } catch (error) {
    for (const nic of nics) nic.close()
    throw error
  }
}

function xdpOptions({ name, mode, copy, netns }: XdpSpec, queue: number) {
  return { device: name, queue, mode, copy, ...(netns === undefined ? {} : { netns }) }
}

function packetOptions({ name, fanout, guard, netns }: PacketSpec) {
  return {
    device: name,
    guard,
    ...(fanout === undefined ? {} : { fanout: { group: fanout } }),
    ...(netns === undefined ? {} : { netns }),
  }
}

function tapOptions({ name, persist, multiQueue, offload, mtu, netns }: TapSpec) {
  return {
    device: name,
    offload,
    ...(persist === undefined ? {} : { persist }),
    ...(multiQueue === undefined ? {} : { multiQueue }),
    ...(mtu === 0 ? {} : { mtu }),
    ...(netns === undefined ? {} : { netns }),
  }
}
