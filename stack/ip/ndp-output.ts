import { IpAddress } from '../../address.ts'
import { put16 } from '../../bytes.ts'
import { addSums, pseudoHeaderSum6, sumBytes } from '../wire/checksum.ts'
import {
  IPPROTO_ICMPV6,
  NDP_NEIGHBOUR_BYTES,
  NDP_NEIGHBOUR_SOLICITATION,
  NDP_NONCE,
  NDP_ROUTER_SOLICITATION,
  NDP_SOURCE_LINK_ADDRESS,
} from '../wire/icmp.ts'
import type { FrameOutput } from './frame-output.ts'
import { OutgoingFrame } from './outgoing-frame.ts'

/** RFC 4861 6.1, 7.1: proves that no router has forwarded the packet. */
export const NDP_HOP_LIMIT = 255
/** The least nonce (RFC 3971 5.3.2): with it the option is eight bytes. */
export const NONCE_BYTES = 6

export const ALL_NODES: IpAddress = new IpAddress(0xff020000, 0, 0, 1)
const ALL_ROUTERS = new IpAddress(0xff020000, 0, 0, 2)

/** The solicited-node multicast address of an address (RFC 4291 2.7.1). */
export function solicitedNode(address: IpAddress): IpAddress {
  return new IpAddress(0xff020000, 0, 1, 0xff000000 | (address.w3 & 0xffffff))
}

/** Asks whether anybody has an address that we want (RFC 4862 5.4.2), with a nonce that tells the question from others' (RFC 7527). */
export function sendAddressProbe(frames: FrameOutput, address: IpAddress, nonce: Uint8Array): void {
  const message = new Uint8Array(NDP_NEIGHBOUR_BYTES + 2 + NONCE_BYTES)
  message[0] = NDP_NEIGHBOUR_SOLICITATION
  address.put(message, 8)
  message[24] = NDP_NONCE
  message[25] = 1
  message.set(nonce, 26)
  sendToGroup(frames, IpAddress.any6, solicitedNode(address), message)
}

/** Asks routers to say what they know (RFC 4861 4.1). */
export function sendRouterSolicit(frames: FrameOutput, source: IpAddress): void {
  const message = new Uint8Array(16)
  message[0] = NDP_ROUTER_SOLICITATION
  message[8] = NDP_SOURCE_LINK_ADDRESS
  message[9] = 1
  message.set(frames.mac, 10)
  sendToGroup(frames, source, ALL_ROUTERS, message)
}

/** @param message with room for its checksum */
function sendToGroup(frames: FrameOutput, source: IpAddress, group: IpAddress, message: Uint8Array): void {
  const frame = new OutgoingFrame(IPPROTO_ICMPV6, NDP_HOP_LIMIT)
  frame.at = frames.reserve()
  if (frame.at < 0) return
  // RFC 2464 section 7: 33:33 and the group's last four bytes.
  frame.macHigh = 0x3333
  frame.macLow = group.w3
  frame.source = source
  frame.destination = group
  frame.transportBytes = message.length
  frames.nic.txMemory.set(message, frame.at + frames.transportOffset(source))
  sendMessage(frames, frame)
}

/** Sends the ICMPv6 message that was written into a reserved frame, its checksum still 0. */
export function sendMessage(frames: FrameOutput, frame: OutgoingFrame): void {
  const { source, destination, transportBytes } = frame
  const { txMemory } = frames.nic
  const at = frame.at + frames.transportOffset(source)
  const pseudo = pseudoHeaderSum6(source, destination, IPPROTO_ICMPV6, transportBytes)
  put16(txMemory, at + 2, ~addSums(pseudo, sumBytes(txMemory, at, transportBytes)) & 0xffff)
  frames.send(frame)
}
