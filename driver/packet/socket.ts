import { ArgumentError, NicError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import { ERRNO, errnoName, systemFailure } from '../system.ts'
import { nothingFilter } from './filter.ts'

// linux/if_packet.h, asm-generic/socket.h
const SOL_SOCKET = 1
const SO_SNDBUF = 7
const SO_SNDBUFFORCE = 32
const SOL_PACKET = 263
const PACKET_VNET_HDR = 15
const PACKET_FANOUT = 18
const PACKET_QDISC_BYPASS = 20
const PACKET_IGNORE_OUTGOING = 23
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x4000
const FANOUT = { hash: 0, balance: 1, cpu: 2, random: 4, queue: 5 } as const

/** Bytes that frames on their way out may take in the kernel. */
const SEND_BUFFER = 8 << 20
const PAGE = 4096
/** The largest frame that comes whole, with the headers that the kernel puts in front of it and of its block. */
const LEAST_BLOCK = 1 << 17
const LARGEST_RING = 2 ** 32 - PAGE

/** How frames are shared out to the members of a group (packet(7), `PACKET_FANOUT`). */
export type FanoutMode = keyof typeof FANOUT

/** A group of packet sockets that share what an interface receives. */
export interface FanoutOptions {
  /** Number of the group, 0 to 65535. */
  group: number
  /** Default `hash`: all frames of a flow go to the same member. */
  mode?: FanoutMode
}

/** The shape of a packet socket's receive ring. */
export interface PacketRing {
  /** Bytes of a block: it goes to the stack when it is full. At least 128 KiB, a multiple of 4096. */
  blockBytes: number
  /** How many blocks there are. */
  blocks: number
  /** Milliseconds after which a block goes to the stack although it is not full. At least 1. */
  retireMs: number
}

export interface SocketOptions {
  readonly device: string
  readonly ifIndex: number
  readonly ring: PacketRing
  readonly fanout: FanoutOptions | undefined
  readonly qdiscBypass: boolean
}

/** A bound AF_PACKET socket whose filter takes nothing yet, and its ring. */
export interface PacketSocket {
  readonly fd: number
  readonly ring: ArrayBuffer
}

/** @throws NicError, ArgumentError */
export function openSocket(native: Native, options: SocketOptions): PacketSocket {
  const { device, ring: shape } = options
  checkRing(shape)
  const fanout = options.fanout === undefined ? -1 : fanoutWord(options.fanout)
  const fd = native.packetSocket()
  if (fd < 0) throw packetSocketRefused(fd, device)
  let ring: ArrayBuffer | number = 0
  try {
    const must = (result: number, call: string): void => {
      if (result < 0) throw systemFailure(result, call, device)
    }
    must(native.setOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1), 'PACKET_VNET_HDR')
    // Before Linux 4.20 our own frames come back; they are told by their type.
    native.setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    if (options.qdiscBypass)
      must(native.setOption(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1), 'PACKET_QDISC_BYPASS')
    if (native.setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER) < 0)
      native.setOption(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
    must(native.attachFilter(fd, nothingFilter()), 'SO_ATTACH_FILTER')
    ring = native.packetRing(fd, shape.blockBytes, shape.blocks, shape.retireMs)
    if (typeof ring === 'number') throw ringRefused(ring, shape, device)
    must(native.packetBind(fd, options.ifIndex), 'bind')
    if (fanout >= 0) {
      const joined = native.setOption(fd, SOL_PACKET, PACKET_FANOUT, fanout)
      if (joined < 0) throw fanoutRefused(joined, options.fanout!, device)
    }
    return { fd, ring }
  } catch (error) {
    if (typeof ring !== 'number') native.release(new Uint8Array(ring))
    native.close(fd)
    throw error
  }
}

/** @param result what `Native.packetSocket` said, negative */
export function packetSocketRefused(result: number, device: string): NicError {
  if (result !== -ERRNO.EAFNOSUPPORT) return systemFailure(result, 'opening an AF_PACKET socket', device)
  return new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    'this kernel has no AF_PACKET sockets',
    'a kernel with CONFIG_PACKET',
    -result,
  )
}

function ringRefused(result: number, { blockBytes, blocks }: PacketRing, device: string): NicError {
  if (result === -ERRNO.ENOMEM) {
    return new NicError(
      'ZCRX_NIC_MEMORY',
      `the system has no ${blocks} blocks of ${blockBytes} bytes for the ring of ${device}`,
      'ask for fewer',
      -result,
    )
  }
  if (result === -ERRNO.EINVAL) {
    return new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `the kernel refuses a TPACKET_V3 ring of ${blocks} blocks of ${blockBytes} bytes with virtio headers (${errnoName(-result)})`,
      'Linux 4.6 or later is needed',
      -result,
    )
  }
  return systemFailure(result, 'PACKET_RX_RING', device)
}

function fanoutRefused(result: number, { group, mode = 'hash' }: FanoutOptions, device: string): NicError {
  if (result !== -ERRNO.EINVAL && result !== -ERRNO.EALREADY && result !== -ERRNO.ENOSPC)
    return systemFailure(result, 'PACKET_FANOUT', device)
  return new NicError(
    'ZCRX_NIC_BUSY',
    `fanout group ${group} does not take ${device} with mode ${mode} (${errnoName(-result)})`,
    'members of a group have the same interface and mode; take another number',
    -result,
  )
}

function fanoutWord({ group, mode = 'hash' }: FanoutOptions): number {
  if (!Number.isInteger(group) || group < 0 || group > 0xffff)
    throw new ArgumentError(`${group} is not the number of a fanout group`, 'take 0 to 65535')
  const type = FANOUT[mode]
  if (type === undefined)
    throw new ArgumentError(
      `there is no fanout mode ${mode}`,
      `take one of ${Object.keys(FANOUT).join(', ')}`,
    )
  return (((type | PACKET_FANOUT_FLAG_IGNORE_OUTGOING) << 16) | group) >>> 0
}

function checkRing({ blockBytes, blocks, retireMs }: PacketRing): void {
  if (!Number.isInteger(blockBytes) || blockBytes < LEAST_BLOCK || blockBytes % PAGE !== 0)
    throw new ArgumentError(
      `a block of the ring can't have ${blockBytes} bytes`,
      `take a multiple of ${PAGE}, at least ${LEAST_BLOCK}`,
    )
  if (!Number.isInteger(blocks) || blocks < 2 || blocks * blockBytes > LARGEST_RING)
    throw new ArgumentError(
      `a ring can't have ${blocks} blocks of ${blockBytes} bytes`,
      'take 2 to 4 GiB in all',
    )
  if (!Number.isInteger(retireMs) || retireMs < 1 || retireMs > 60_000)
    throw new ArgumentError(`blocks can't be handed over after ${retireMs} ms`, 'take 1 to 60000')
}
