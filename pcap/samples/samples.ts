/** How a direction of a conversation ends, as `StreamReport.end` has it. */
export type SampleEnd = 'fin' | 'rst' | 'none'

/** What is in a capture of one conversation, in the order and with the ends that Wireshark gives them. */
export interface SampleConversation {
  /** Who sent the first packet that is there. */
  readonly client: string
  readonly server: string
  /** Payload bytes that the capture has, in order and once each, without words in the place of holes. */
  readonly clientBytes: number
  readonly serverBytes: number
  /** Payload bytes that were sent, but that the capture lacks. Default 0. */
  readonly clientMissing?: number
  readonly serverMissing?: number
  readonly clientEnd: SampleEnd
  readonly serverEnd: SampleEnd
}

export interface Sample {
  /** In this folder. */
  readonly file: string
  readonly title: string
  /** What is to be seen in it. */
  readonly shows: string
  /** Recorded from Linux, built packet by packet, or made of the recording named. */
  readonly made: 'recorded' | 'built' | `of ${string}`
  readonly packets: number
  readonly conversations: readonly SampleConversation[]
  /** Display filters of Wireshark, with the least number of packets that match. */
  readonly properties: readonly (readonly [filter: string, packets: number])[]
  /** The file ends within a record. */
  readonly cutShort?: boolean
}

const SERVER = '192.0.2.2:80'
const SERVER6 = '[2001:db8::2]:80'

/** Between the usual ends, closed by both. */
function four(clientBytes: number, serverBytes = 0, port = 40_000): SampleConversation {
  const client = `192.0.2.1:${port}`
  return { client, server: SERVER, clientBytes, serverBytes, clientEnd: 'fin', serverEnd: 'fin' }
}

function six(clientBytes: number, serverBytes = 0, port = 40_000): SampleConversation {
  const client = `[2001:db8::1]:${port}`
  return { client, server: SERVER6, clientBytes, serverBytes, clientEnd: 'fin', serverEnd: 'fin' }
}

function refused(port: number): SampleConversation {
  const ends = { client: `192.0.2.1:${port}`, server: '192.0.2.2:81' }
  return { ...ends, clientBytes: 0, serverBytes: 0, clientEnd: 'rst', serverEnd: 'rst' }
}

const CHAT = four(356, 2900)
const CHAT_PACKETS = 24

/** The conversation of `chat.pcap` in another form. */
function chat(file: string, title: string, shows: string, filter = 'tcp'): Sample {
  const properties = [[filter, CHAT_PACKETS]] as const
  return {
    file,
    title,
    shows,
    made: 'of chat.pcap',
    packets: CHAT_PACKETS,
    conversations: [CHAT],
    properties,
  }
}

const recorded: readonly Sample[] = [
  {
    file: 'bulk.pcap',
    title: 'A transfer',
    shows: 'full segments one after the other, acknowledged by twos and threes; both sides close',
    made: 'recorded',
    packets: 58,
    conversations: [four(40_000)],
    properties: [['tcp.len == 1448', 27]],
  },
  {
    file: 'ipv6.pcap',
    title: 'IPv6',
    shows: 'the same over IPv6',
    made: 'recorded',
    packets: 49,
    conversations: [six(30_000)],
    properties: [['ipv6 && tcp.len == 1428', 20]],
  },
  {
    file: 'jumbo.pcap',
    title: 'Jumbo frames',
    shows: 'an MTU of 9000',
    made: 'recorded',
    packets: 16,
    conversations: [four(50_000)],
    properties: [['tcp.len > 8000', 5]],
  },
  {
    file: 'offload.pcap',
    title: 'Offloaded sending',
    shows:
      'captured on the sender: segments of many times the MTU, with checksums that the device is to finish',
    made: 'recorded',
    packets: 17,
    conversations: [four(58_000)],
    properties: [
      ['tcp.len > 9000', 2],
      ['tcp.checksum.status == "Bad"', 10],
    ],
  },
  {
    file: 'chat.pcap',
    title: 'Requests and answers',
    shows: 'eight turns of both sides; the server closes first',
    made: 'recorded',
    packets: CHAT_PACKETS,
    conversations: [CHAT],
    properties: [['tcp.flags.push == 1', 16]],
  },
  {
    file: 'half-close.pcap',
    title: 'Half-close',
    shows: 'the client closes behind its request; the answer comes afterwards',
    made: 'recorded',
    packets: 27,
    conversations: [four(500, 12_000)],
    properties: [['tcp.srcport == 80 && tcp.len > 0 && tcp.ack == 502', 8]],
  },
  {
    file: 'loss.pcap',
    title: 'Loss, seen by the sender',
    shows: 'two segments lost behind the point of capture: both copies are there; fast retransmission, SACK',
    made: 'recorded',
    packets: 61,
    conversations: [four(40_000)],
    properties: [
      ['tcp.analysis.retransmission || tcp.analysis.out_of_order', 2],
      ['tcp.options.sack_le', 10],
    ],
  },
  {
    file: 'loss-receiver.pcap',
    title: 'Loss, seen by the receiver',
    shows: 'two segments lost in front of the point of capture: they come late, behind what followed them',
    made: 'recorded',
    packets: 58,
    conversations: [four(40_000)],
    properties: [
      ['tcp.analysis.lost_segment', 2],
      ['tcp.options.sack_le', 10],
    ],
  },
  {
    file: 'sack.pcap',
    title: 'Several holes',
    shows: 'every other segment lost: up to three SACK blocks',
    made: 'recorded',
    packets: 56,
    conversations: [four(36_000)],
    properties: [['tcp.options.sack.count == 3', 1]],
  },
  {
    file: 'timeout.pcap',
    title: 'Lost again and again',
    shows: 'a segment that is lost three times, until the retransmission timer of the sender sends it',
    made: 'recorded',
    packets: 28,
    conversations: [four(12_000)],
    properties: [['tcp.analysis.retransmission', 3]],
  },
  {
    file: 'reordering.pcap',
    title: 'Reordering',
    shows: 'every fifth segment comes behind the two after it; some are sent again for nothing (D-SACK)',
    made: 'recorded',
    packets: 59,
    conversations: [four(36_000)],
    properties: [
      ['tcp.analysis.lost_segment', 3],
      ['tcp.analysis.out_of_order', 1],
    ],
  },
  {
    file: 'duplicates.pcap',
    title: 'Duplicates',
    shows: 'two segments that come twice, which D-SACK tells',
    made: 'recorded',
    packets: 38,
    conversations: [four(20_000)],
    properties: [['tcp.options.sack.dsack', 2]],
  },
  {
    file: 'zero-window.pcap',
    title: 'Zero window',
    shows: 'a receiver that does not read: the window closes, is probed, and opens again',
    made: 'recorded',
    packets: 32,
    conversations: [four(16_000)],
    properties: [
      ['tcp.analysis.zero_window', 2],
      ['tcp.window_size_value == 0 && tcp.flags.reset == 0', 2],
      ['tcp.analysis.window_update', 1],
    ],
  },
  {
    file: 'keepalive.pcap',
    title: 'Keepalive',
    shows: 'three probes of an idle connection, which goes on afterwards',
    made: 'recorded',
    packets: 17,
    conversations: [four(13)],
    properties: [['tcp.analysis.keep_alive', 3]],
  },
  {
    file: 'simultaneous-close.pcap',
    title: 'Simultaneous close',
    shows: 'two FINs that cross: neither acknowledges the other',
    made: 'recorded',
    packets: 11,
    conversations: [four(1000, 700)],
    properties: [
      [
        'tcp.flags.fin == 1 && ((tcp.srcport == 80 && tcp.ack == 1001) || (tcp.srcport == 40000 && tcp.ack == 701))',
        2,
      ],
    ],
  },
  {
    file: 'simultaneous-open.pcap',
    title: 'Simultaneous open',
    shows: 'two SYNs that cross',
    made: 'recorded',
    packets: 14,
    conversations: [four(14, 15)],
    properties: [['tcp.flags.syn == 1 && tcp.flags.ack == 0', 2]],
  },
  {
    file: 'reset.pcap',
    title: 'Reset',
    shows: 'the server closes with data unread, so that it resets the connection',
    made: 'recorded',
    packets: 16,
    conversations: [{ ...four(5000, 2000), clientEnd: 'rst', serverEnd: 'rst' }],
    properties: [['tcp.flags.reset == 1 && tcp.srcport == 80', 1]],
  },
  {
    file: 'refused.pcap',
    title: 'Refused',
    shows: 'two connections to a port where nobody listens',
    made: 'recorded',
    packets: 4,
    conversations: [refused(40_000), refused(40_001)],
    properties: [['tcp.flags.reset == 1 && tcp.seq == 1', 2]],
  },
  {
    file: 'fast-open.pcap',
    title: 'Fast Open',
    shows: 'a connection that is given a cookie, and one that has data in its SYN',
    made: 'recorded',
    packets: 16,
    conversations: [four(900, 300), four(900, 300, 40_001)],
    properties: [['tcp.flags.syn == 1 && tcp.len == 900', 1]],
  },
  {
    file: 'ports-reused.pcap',
    title: 'Ports used again',
    shows:
      'three connections with the same addresses and ports: closed by the server, reset, closed by the client',
    made: 'recorded',
    packets: 30,
    conversations: [four(300, 200), { ...four(301, 201), clientEnd: 'rst' }, four(302, 202)],
    properties: [['tcp.analysis.reused_ports', 2]],
  },
  {
    file: 'many.pcap',
    title: 'Many connections',
    shows: '60 short connections, four at a time',
    made: 'recorded',
    packets: 600,
    conversations: Array.from({ length: 60 }, (_, i) => four(10 + i, 40, 40_000 + i)),
    properties: [['tcp.flags.syn == 1', 120]],
  },
  {
    file: 'sequence-wrap.pcap',
    title: 'Sequence numbers wrap',
    shows: 'the client begins 10000 bytes in front of the end of sequence space',
    made: 'recorded',
    packets: 40,
    conversations: [four(24_000)],
    properties: [
      ['tcp.srcport == 40000 && tcp.len > 0 && tcp.seq_raw >= 4294957296', 7],
      ['tcp.srcport == 40000 && tcp.len > 0 && tcp.seq_raw < 20000', 8],
    ],
  },
  {
    file: 'timestamp-wrap.pcap',
    title: 'Timestamps wrap',
    shows: "the client's timestamp clock passes 2^32",
    made: 'recorded',
    packets: 31,
    conversations: [four(12_000)],
    properties: [
      ['tcp.srcport == 40000 && tcp.options.timestamp.tsval > 4294967000', 5],
      ['tcp.srcport == 40000 && tcp.options.timestamp.tsval < 1000', 5],
    ],
  },
  {
    file: 'fragments.pcap',
    title: 'IP fragments',
    shows:
      'segments in three fragments each, as a router with a small MTU makes them; of some the last comes first',
    made: 'recorded',
    packets: 50,
    conversations: [four(16_000)],
    properties: [
      ['ip.flags.mf == 1', 20],
      ['ip.fragment.count == 3', 10],
    ],
  },
]

const built: readonly Sample[] = [
  {
    file: 'overlap-delivered.pcapng',
    title: 'Overlap with what was delivered',
    shows: 'segments that begin in data already received, with other bytes there: what came first counts',
    made: 'built',
    packets: 14,
    conversations: [four(550)],
    properties: [
      ['tcp.analysis.retransmission || tcp.analysis.out_of_order || tcp.analysis.spurious_retransmission', 1],
    ],
  },
  {
    file: 'overlap-queued.pcapng',
    title: 'Overlap out of order',
    shows: 'segments beyond a hole that overlap with other bytes',
    made: 'built',
    packets: 16,
    conversations: [four(410)],
    properties: [['tcp.options.sack_le', 4]],
  },
  {
    file: 'lying-lengths.pcapng',
    title: 'Lengths that lie',
    shows:
      'IP total and payload lengths that are too long, too short or 0, and data offsets beyond the segment or within the header; each time the honest segment follows',
    made: 'built',
    packets: 63,
    conversations: [
      four(1),
      ...[10, 1, 1, 1].map((bytes, i) => four(bytes, 0, 40_001 + i)),
      ...[1, 1].map((bytes, i) => six(bytes, 0, 40_005 + i)),
    ],
    properties: [
      ['ip.len == 1400 || ip.len == 20 || (ipv6.plen == 0 || ipv6.plen == 1400) || tcp.hdr_len == 60', 4],
    ],
  },
  {
    file: 'bad-options.pcapng',
    title: 'Broken options',
    shows:
      'option lengths of 0, of 1, beyond the header and cut off by it; 40 bytes of zeros; SACK blocks of nothing',
    made: 'built',
    packets: 48,
    conversations: [11, 10, 8, 8, 3, 15].map((bytes, i) => four(bytes, 0, 40_000 + i)),
    properties: [['tcp.hdr_len == 60', 1]],
  },
  {
    file: 'land.pcapng',
    title: 'Land',
    shows: 'a connection from an address and port to the same address and port',
    made: 'built',
    packets: 3,
    conversations: [
      {
        client: SERVER,
        server: SERVER,
        clientBytes: 0,
        serverBytes: 0,
        clientEnd: 'none',
        serverEnd: 'none',
      },
    ],
    properties: [['ip.src == ip.dst && tcp.srcport == tcp.dstport', 3]],
  },
  {
    file: 'urgent.pcapng',
    title: 'Urgent data',
    shows: 'urgent pointers to the end of a segment, far beyond it, and to nothing',
    made: 'built',
    packets: 14,
    conversations: [four(22)],
    properties: [['tcp.flags.urg == 1', 3]],
  },
  {
    file: 'tiny-segments.pcapng',
    title: 'Tiny segments',
    shows: '300 segments of one byte, from both sides in turn',
    made: 'built',
    packets: 307,
    conversations: [four(150, 150)],
    properties: [['tcp.len == 1', 300]],
  },
  {
    file: 'syn-flood.pcap',
    title: 'A flood of SYNs',
    shows: '1000 SYNs from 250 addresses within 10 ms, and nothing else',
    made: 'built',
    packets: 1000,
    conversations: Array.from({ length: 1000 }, (_, i) => ({
      client: `198.51.100.${1 + (i % 250)}:${1024 + i}`,
      server: SERVER,
      clientBytes: 0,
      serverBytes: 0,
      clientEnd: 'none',
      serverEnd: 'none',
    })),
    properties: [['tcp.flags.syn == 1 && tcp.flags.ack == 0', 1000]],
  },
  {
    file: 'rst-injected.pcapng',
    title: 'Injected resets',
    shows: 'resets of both directions whose numbers are outside of the window: the connection goes on',
    made: 'built',
    packets: 16,
    conversations: [four(200, 100)],
    properties: [['tcp.flags.reset == 1 && ip.ttl == 250', 2]],
  },
  {
    file: 'syn-injected.pcapng',
    title: 'An injected SYN',
    shows: 'a SYN with a wrong number within a connection, answered with an ACK: the connection goes on',
    made: 'built',
    packets: 12,
    conversations: [four(100, 100)],
    properties: [['tcp.flags.syn == 1 && ip.ttl == 250', 1]],
  },
  {
    file: 'fin-early.pcapng',
    title: 'FIN out of order',
    shows: 'a FIN with data comes in front of the 400 bytes before it',
    made: 'built',
    packets: 11,
    conversations: [four(450)],
    properties: [['tcp.flags.fin == 1 && tcp.len == 50 && tcp.seq == 401', 1]],
  },
  {
    file: 'zero-probes.pcapng',
    title: 'Probes of a closed window',
    shows: 'probes without data in front of the window, and with one byte beyond it',
    made: 'built',
    packets: 17,
    conversations: [four(700)],
    properties: [['tcp.window_size_value == 0', 4]],
  },
  {
    file: 'bad-checksums.pcapng',
    title: 'Wrong checksums',
    shows: 'segments with wrong checksums, which are sent again with right ones',
    made: 'built',
    packets: 21,
    conversations: [four(100, 100), six(100, 0, 40_001)],
    properties: [['tcp.checksum.status == "Bad"', 3]],
  },
  {
    file: 'fragments-hostile.pcapng',
    title: 'Fragments of every kind',
    shows: 'fragments of 8 bytes, backwards, twice, and of a datagram that stays incomplete; of IPv6 too',
    made: 'built',
    packets: 64,
    conversations: [four(200), four(400, 0, 40_001), six(2000, 0, 40_002)],
    properties: [
      ['ip.flags.mf == 1', 25],
      ['ipv6.fraghdr.more == 1', 4],
    ],
  },
  {
    file: 'ip-headers.pcapng',
    title: 'Long IP headers',
    shows: 'IPv4 options, IPv6 extension headers, and padding of short frames behind the packet',
    made: 'built',
    packets: 28,
    conversations: [four(12), six(41, 0, 40_001), four(2, 0, 40_002)],
    properties: [
      ['ip.hdr_len == 28', 1],
      ['ipv6.hopopts && ipv6.dstopts', 1],
      ['ipv6.routing', 1],
      ['frame.len == 60 && ip.len < 46', 3],
    ],
  },
  {
    file: 'partial-checksums.pcap',
    title: 'Unfinished checksums',
    shows: 'IPv6 segments of up to 6000 bytes whose checksum is that of the pseudo-header',
    made: 'built',
    packets: 10,
    conversations: [six(3000, 6000)],
    properties: [['tcp.checksum.status == "Bad"', 10]],
  },
  {
    file: 'one-sided.pcapng',
    title: 'One side only',
    shows: 'what the client sends; of the server nothing was captured',
    made: 'built',
    packets: 11,
    conversations: [{ ...four(3000), serverEnd: 'none' }],
    properties: [['tcp.srcport == 40000', 11]],
  },
]

const converted: readonly Sample[] = [
  {
    file: 'middle.pcap',
    title: 'From the middle on',
    shows: 'a capture that begins within a connection, with a segment of the server',
    made: 'of bulk.pcap',
    packets: 45,
    conversations: [{ ...four(0, 25_520), client: SERVER, server: '192.0.2.1:40000' }],
    properties: [['tcp.len == 1448', 15]],
  },
  {
    file: 'missing.pcap',
    title: 'Missing packets',
    shows: 'four segments that the receiver acknowledges, but the capture does not have',
    made: 'of bulk.pcap',
    packets: 54,
    conversations: [{ ...four(34_208), clientMissing: 5792 }],
    properties: [['tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment', 3]],
  },
  {
    file: 'snaplen.pcap',
    title: 'Cut packets',
    shows: '96 bytes of each packet, 30 of which are payload',
    made: 'of bulk.pcap',
    packets: 58,
    conversations: [{ ...four(840), clientMissing: 39_160 }],
    properties: [['frame.cap_len == 96 && frame.len > 96', 28]],
  },
  {
    ...chat('cut-short.pcap', 'Cut short', 'a file that ends within its last record'),
    packets: 23,
    properties: [['tcp', 23]],
    cutShort: true,
  },
  chat('vlan.pcap', 'VLAN', 'frames with an 802.1Q tag', 'vlan.id == 42'),
  chat('qinq.pcap', 'QinQ', 'frames with an 802.1ad and an 802.1Q tag', 'ieee8021ad && vlan.id == 42'),
  chat('pppoe.pcap', 'PPPoE', 'IP in a session of PPP over Ethernet', 'pppoes && ppp'),
  chat('sll.pcap', 'Cooked', "Linux's cooked capture", 'sll'),
  chat('sll2.pcap', 'Cooked, version 2', "Linux's cooked capture, version 2", 'sll'),
  chat('raw.pcap', 'Raw IP', 'packets without a link', 'raw'),
  chat('null.pcap', 'BSD loopback', 'loopback frames in the byte order of the host', 'null'),
  chat('loop.pcap', 'OpenBSD loopback', 'loopback frames in network byte order', 'null'),
  chat('little-us.pcap', 'pcap', 'little-endian, microseconds'),
  chat('big-us.pcap', 'pcap, big-endian', 'big-endian, microseconds'),
  chat('little-ns.pcap', 'pcap, nanoseconds', 'little-endian, nanoseconds'),
  chat('big-ns.pcap', 'pcap, big-endian, nanoseconds', 'big-endian, nanoseconds'),
  chat('little.pcapng', 'pcapng', 'little-endian, with directions'),
  chat('big.pcapng', 'pcapng, big-endian', 'big-endian, with a comment on the section'),
  chat('packed.pcap.gz', 'pcap, packed', 'compressed with gzip'),
  chat('packed.pcapng.gz', 'pcapng, packed', 'compressed with gzip'),
  {
    file: 'interfaces.pcapng',
    title: 'Two interfaces',
    shows: 'Ethernet and raw IP in one file, with comments on packets',
    made: 'of chat.pcap',
    packets: 32,
    conversations: [six(200, 0, 40_001), CHAT],
    properties: [
      ['frame.interface_id == 1', 8],
      ['frame.comment', 2],
    ],
  },
]

/** Every sample capture of this folder, with what must come out of it. */
export const samples: readonly Sample[] = [...recorded, ...built, ...converted]
