/**
 * Numbers of the two capture file formats: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), and the
 * link types (draft-ietf-opsawg-pcaplinktype) whose packets this package understands.
 */

// ---- pcap ---------------------------------------------------------------------------------------------------------

export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d
export const PCAP_HEADER_BYTES = 24
export const PCAP_RECORD_BYTES = 16

// ---- pcapng -------------------------------------------------------------------------------------------------------

export const BLOCK_INTERFACE = 1
/** The old packet block, no longer written. */
export const BLOCK_PACKET = 2
export const BLOCK_SIMPLE_PACKET = 3
export const BLOCK_NAME_RESOLUTION = 4
export const BLOCK_INTERFACE_STATISTICS = 5
export const BLOCK_ENHANCED_PACKET = 6
export const BLOCK_DECRYPTION_SECRETS = 10
export const BLOCK_CUSTOM = 0x0bad
export const BLOCK_CUSTOM_NO_COPY = 0x4000_0bad
/** The same in either byte order. */
export const BLOCK_SECTION = 0x0a0d_0d0a
export const BYTE_ORDER_MAGIC = 0x1a2b_3c4d
/** Type and length in front, length behind. */
export const BLOCK_OVERHEAD = 12

export const OPTION_END = 0
export const OPTION_COMMENT = 1
export const SECTION_HARDWARE = 2
export const SECTION_OS = 3
export const SECTION_APPLICATION = 4
export const INTERFACE_NAME = 2
export const INTERFACE_DESCRIPTION = 3
export const INTERFACE_MAC = 6
export const INTERFACE_TSRESOL = 9
export const INTERFACE_FILTER = 11
export const INTERFACE_TSOFFSET = 14
export const PACKET_FLAGS = 2
export const PACKET_DROPCOUNT = 4
export const STATISTICS_START = 2
export const STATISTICS_END = 3
/** Frames received. */
export const STATISTICS_RECEIVED = 4
/** Frames dropped by the interface for want of resources. */
export const STATISTICS_INTERFACE_DROPS = 5
/** Frames dropped by the operating system. */
export const STATISTICS_OS_DROPS = 7
/** Frames given to the user. */
export const STATISTICS_DELIVERED = 8

/** Direction in the lowest two bits of `PACKET_FLAGS`. */
export const DIRECTION_UNKNOWN = 0
export const DIRECTION_INBOUND = 1
export const DIRECTION_OUTBOUND = 2

// ---- link types ---------------------------------------------------------------------------------------------------

export const LINKTYPE_NULL = 0
export const LINKTYPE_ETHERNET = 1
/** What some systems write for raw IP. */
export const LINKTYPE_RAW_BSD = 12
export const LINKTYPE_RAW_OPENBSD = 14
export const LINKTYPE_RAW = 101
export const LINKTYPE_LOOP = 108
export const LINKTYPE_LINUX_SLL = 113
export const LINKTYPE_IPV4 = 228
export const LINKTYPE_IPV6 = 229
export const LINKTYPE_LINUX_SLL2 = 276

/** Most bytes of a packet that is believed: Wireshark's limit, which libpcap shares. */
export const MAX_PACKET_BYTES = 262_144
/** Most bytes of a block that is held in memory; larger ones of other types are passed over. */
export const MAX_BLOCK_BYTES = 16 << 20
