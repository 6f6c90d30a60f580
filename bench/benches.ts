/** What is measured: modules beside this one that export `main(args): Promise<void>`, and what they measure. */
export const BENCHES = {
  consume:
    'Linux sends a stream that is thrown away, hashed, counted or written to a file, beside node:net (needs root, cc)',
  copies:
    'the copies and sums that remain, by JavaScript and by the addon, into memory of one thread and of several',
  e2e: 'Linux sends to zcrx over every way in, to node:net, recv() and io_uring in C, at three MTUs (needs root, cc)',
  latency:
    'echoes of 64 bytes over loopback: servers on Linux’s own rings beside node:net, one and a thousand connections',
  loss: 'Linux sends over a path that loses and delays frames, to zcrx and to node:net (needs root)',
  pcap: 'captures: reading, following and replaying a million packets, beside capinfos and tshark',
  pps: 'small segments over AF_XDP, to a connection and to a loop in C that throws frames away (needs root, cc)',
  scale: 'many connections: accepting, memory of idle ones, pauses while tables grow, timers',
  stack: 'the protocol stack alone, over a scripted queue: time per packet',
  workers:
    'a server on worker threads beside one inline: rate and CPU per packet, over veth (needs root, cc), latency',
} as const satisfies Readonly<Record<string, string>>

export type BenchName = keyof typeof BENCHES

/** What is done with benches, modules of the same form. */
export const COMMANDS = {
  all: 'every bench, its tables and plots written into docs/ (needs root, cc)',
  compare: 'REV and the working tree by turns: what got slower',
} as const satisfies Readonly<Record<string, string>>
