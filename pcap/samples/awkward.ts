import { four, type Sample, type SampleConversation, silent, six } from './sample.ts'

/** Open at the end of the capture. */
function open(conversation: SampleConversation): SampleConversation {
  return { ...conversation, clientEnd: 'none', serverEnd: 'none' }
}

/** What honest ends meet now and then, and a reader of captures easily gets wrong. */
export const awkward: readonly Sample[] = [
  {
    file: 'syn-answered-late.pcapng',
    title: 'Answered late',
    shows: 'SYNs that are lost, for seconds and for minutes; the answer takes up little of what they offer',
    made: 'built',
    packets: 29,
    conversations: [four(11, 6), six(4, 5, 40_001)],
    properties: [['tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.options.timestamp.tsval', 8]],
  },
  {
    file: 'two-answers.pcapng',
    title: 'Two answers',
    shows: 'a second SYN,ACK with another number; one client takes it, the other has taken the first',
    made: 'built',
    packets: 23,
    conversations: [four(6, 6), { ...four(6, 6, 40_001), wireshark: { serverBytes: 0 } }],
    properties: [['tcp.flags.syn == 1 && tcp.flags.ack == 1', 4]],
  },
  {
    file: 'answer-first.pcapng',
    title: 'The answer first',
    shows: 'SYN,ACKs that were captured in front of their SYNs',
    made: 'built',
    packets: 18,
    conversations: [four(6, 6), six(6, 0, 40_001)].map((one) => ({
      ...one,
      wireshark: {
        client: one.server,
        server: one.client,
        clientBytes: one.serverBytes,
        serverBytes: one.clientBytes,
      },
    })),
    properties: [['tcp.flags.syn == 1 && tcp.flags.ack == 0', 2]],
  },
  {
    file: 'stray-syn.pcapng',
    title: 'A stray SYN',
    shows: 'a SYN of the same ends beside a connection, which the server challenges: the connection goes on',
    made: 'built',
    packets: 14,
    conversations: [
      {
        ...four(13, 7),
        wireshark: { clientBytes: 6, serverBytes: 0, clientEnd: 'none', serverEnd: 'none' },
      },
      { ...silent('192.0.2.1:40000'), wireshark: { serverBytes: 7, clientEnd: 'fin', serverEnd: 'fin' } },
    ],
    properties: [['tcp.analysis.reused_ports', 1]],
  },
  {
    file: 'tail-missing.pcapng',
    title: 'Missing at the end',
    shows:
      'data that is acknowledged and not there, in front of a FIN and at the end; and a FIN behind a hole',
    made: 'built',
    packets: 23,
    conversations: [
      { ...four(6), clientTail: 6 },
      { ...six(0, 6, 40_001), serverEnd: 'none', serverTail: 2000 },
      { ...open(four(6, 0, 40_002)), wireshark: { clientEnd: 'fin' } },
    ],
    properties: [['tcp.analysis.ack_lost_segment', 2]],
  },
  {
    file: 'padded.pcapng',
    title: 'Padding',
    shows: 'padding that only the length of PPPoE, or of an 802.3 frame, tells from the packet',
    made: 'built',
    packets: 18,
    conversations: [four(6, 12), four(6, 0, 40_001)],
    properties: [
      ['pppoes', 9],
      ['eth.len && llc', 1],
    ],
  },
  {
    file: 'length-lie.pcapng',
    title: 'Promises of IP',
    shows: 'IP lengths beyond the frame; the same data follows honestly',
    made: 'built',
    packets: 20,
    conversations: [four(3), six(6, 0, 40_001)],
    properties: [['ip.len == 2000 || ipv6.plen == 2000', 2]],
  },
  {
    file: 'bad-resets.pcapng',
    title: 'Resets that are none',
    shows: 'resets with wrong checksums, and with numbers that are not expected next; and one that counts',
    made: 'built',
    packets: 30,
    conversations: [
      ...[
        open(four(100)),
        open(four(100, 0, 40_001)),
        open(six(100, 0, 40_002)),
        open(four(100, 0, 40_003)),
      ].map((one) => ({ ...one, wireshark: { clientEnd: 'rst', serverEnd: 'rst' } as const })),
      { ...six(100, 0, 40_004), clientEnd: 'rst', serverEnd: 'rst' },
    ],
    properties: [
      ['tcp.flags.reset == 1', 5],
      ['tcp.checksum.status == "Bad"', 2],
    ],
  },
  {
    file: 'named-only.pcapng',
    title: 'Only named',
    shows:
      'segments that are quoted in ICMP errors, or have a wrong data offset: Wireshark counts their streams',
    made: 'built',
    packets: 20,
    conversations: [
      { ...silent('192.0.2.1:40010'), named: true },
      four(5, 0, 40_001),
      { ...silent('192.0.2.1:40011'), named: true },
      four(5, 0, 40_002),
    ],
    properties: [
      ['icmp && tcp', 2],
      ['tcp.hdr_len == 16', 1],
    ],
  },
  {
    file: 'tunnels.pcapng',
    title: 'Tunnels',
    shows: 'GRE, ERSPAN, IP in IP, VXLAN, GENEVE, MPLS and EtherIP, of both versions, and inside each other',
    made: 'built',
    packets: 190,
    conversations: Array.from({ length: 19 }, (_, i) =>
      i % 3 === 2 ? six(300, 400, 40_000 + i) : four(300, 400, 40_000 + i),
    ),
    properties: [
      ['gre', 100],
      ['erspan', 40],
      ['vxlan', 30],
      ['geneve', 20],
      ['mpls', 30],
      ['ipv6.nxt == 4 || ip.proto == 41', 20],
    ],
  },
]
