import type { NetlinkWriter } from '../netlink/writer.ts'

/** What the messages of nftables hold (linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h). */

export const NETLINK_NETFILTER = 12
/** NFNL_SUBSYS_NFTABLES. */
export const SUBSYSTEM = 10

/** enum nf_tables_msg_types. */
export const NFT_MSG = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  newRule: 6,
  newSet: 9,
  newElement: 12,
  delElement: 14,
} as const

/** enum nft_table_attributes. */
export const NFTA = { tableName: 1, tableFlags: 2 } as const

// enum nft_chain_attributes, nft_hook_attributes
const CHAIN = { table: 1, name: 3, hook: 4, policy: 5, type: 7 }
const HOOK = { number: 1, priority: 2 }
const NF_INET_PRE_ROUTING = 0
/** Before connection tracking, at -200. */
const PRIORITY_RAW = -300
const NF_DROP = 0
const NF_ACCEPT = 1

// enum nft_rule_attributes, nft_list_attributes, nft_expr_attributes, nft_data_attributes, nft_verdict_attributes
const RULE = { table: 1, chain: 2, expressions: 4 }
const LIST_ELEMENT = 1
const EXPRESSION = { name: 1, data: 2 }
const DATA = { value: 1, verdict: 2 }
const VERDICT_CODE = 1

// Attributes of the expressions.
const META = { register: 1, key: 2 }
const NFT_META_NFPROTO = 15
const NFT_META_L4PROTO = 16
const COMPARE = { register: 1, operation: 2, data: 3 }
const NFT_CMP_EQ = 0
const PAYLOAD = { register: 1, base: 2, offset: 3, length: 4 }
const NETWORK_HEADER = 1
const TRANSPORT_HEADER = 2
const LOOKUP = { set: 1, register: 2 }
const IMMEDIATE = { register: 1, data: 2 }

// enum nft_registers: 16 bytes from NFT_REG_1 on are also four of 4 bytes from NFT_REG32_00 on.
const REGISTER_VERDICT = 0
const REGISTER_1 = 1
const REGISTER32_0 = 8

// enum nft_set_attributes, nft_set_elem_list_attributes, nft_set_elem_attributes
const SET = { table: 1, name: 2, flags: 3, keyType: 4, keyLength: 5, id: 10 }
const ELEMENTS = { table: 1, set: 2, elements: 3 }
const ELEMENT_KEY = 1

const NFPROTO_IPV4 = 2
const NFPROTO_IPV6 = 10
const PROTOCOL_TCP = 6
const CHAIN_NAME = 'prerouting'
/** nft(8) shows keys by these: types of address and port, six bits each. */
const TYPE_IPV4 = 7
const TYPE_IPV6 = 8
const TYPE_PORT = 13

/** A set of addresses and ports of one IP version: the address, then the port in a register of four bytes. */
export interface PortSet {
  readonly name: string
  readonly id: number
  readonly family: number
  readonly addressOffset: number
  readonly addressBytes: number
  readonly keyType: number
}

export const SETS: readonly PortSet[] = [
  {
    name: 'ipv4',
    id: 1,
    family: NFPROTO_IPV4,
    addressOffset: 16,
    addressBytes: 4,
    keyType: (TYPE_IPV4 << 6) | TYPE_PORT,
  },
  {
    name: 'ipv6',
    id: 2,
    family: NFPROTO_IPV6,
    addressOffset: 24,
    addressBytes: 16,
    keyType: (TYPE_IPV6 << 6) | TYPE_PORT,
  },
]

/** Message type of nfnetlink. */
export function nftablesType(message: number): number {
  return (SUBSYSTEM << 8) | message
}

export function putChain(writer: NetlinkWriter, table: string): void {
  writer
    .text(CHAIN.table, table)
    .text(CHAIN.name, CHAIN_NAME)
    .nested(CHAIN.hook, () => {
      writer.number(HOOK.number, NF_INET_PRE_ROUTING).number(HOOK.priority, PRIORITY_RAW)
    })
    .number(CHAIN.policy, NF_ACCEPT)
    .text(CHAIN.type, 'filter')
}

export function putSet(writer: NetlinkWriter, table: string, set: PortSet): void {
  writer
    .text(SET.table, table)
    .text(SET.name, set.name)
    .number(SET.flags, 0)
    .number(SET.keyType, set.keyType)
    .number(SET.keyLength, set.addressBytes + 4)
    .number(SET.id, set.id)
}

/** Drops TCP whose destination is in the set. */
export function putRule(writer: NetlinkWriter, table: string, set: PortSet): void {
  const expression = (name: string, data: () => void): void => {
    writer.nested(LIST_ELEMENT, () => {
      writer.text(EXPRESSION.name, name).nested(EXPRESSION.data, data)
    })
  }
  const meta = (key: number, value: number): void => {
    expression('meta', () => writer.number(META.register, REGISTER_1).number(META.key, key))
    expression('cmp', () => {
      writer
        .number(COMPARE.register, REGISTER_1)
        .number(COMPARE.operation, NFT_CMP_EQ)
        .nested(COMPARE.data, () => writer.bytes(DATA.value, Uint8Array.of(value)))
    })
  }
  const payload = (register: number, base: number, offset: number, length: number): void => {
    expression('payload', () => {
      writer
        .number(PAYLOAD.register, register)
        .number(PAYLOAD.base, base)
        .number(PAYLOAD.offset, offset)
        .number(PAYLOAD.length, length)
    })
  }
  writer
    .text(RULE.table, table)
    .text(RULE.chain, CHAIN_NAME)
    .nested(RULE.expressions, () => {
      meta(NFT_META_NFPROTO, set.family)
      meta(NFT_META_L4PROTO, PROTOCOL_TCP)
      payload(REGISTER_1, NETWORK_HEADER, set.addressOffset, set.addressBytes)
      payload(REGISTER32_0 + set.addressBytes / 4, TRANSPORT_HEADER, 2, 2)
      expression('lookup', () => writer.text(LOOKUP.set, set.name).number(LOOKUP.register, REGISTER_1))
      expression('immediate', () => {
        writer.number(IMMEDIATE.register, REGISTER_VERDICT).nested(IMMEDIATE.data, () => {
          writer.nested(DATA.verdict, () => writer.number(VERDICT_CODE, NF_DROP))
        })
      })
    })
}

/** @param address network order, 4 or 16 bytes */
export function putElement(writer: NetlinkWriter, table: string, address: Uint8Array, port: number): void {
  const key = Uint8Array.of(...address, port >> 8, port & 0xff, 0, 0)
  writer
    .text(ELEMENTS.table, table)
    .text(ELEMENTS.set, address.length === 4 ? SETS[0]!.name : SETS[1]!.name)
    .nested(ELEMENTS.elements, () => {
      writer.nested(LIST_ELEMENT, () => {
        writer.nested(ELEMENT_KEY, () => writer.bytes(DATA.value, key))
      })
    })
}
