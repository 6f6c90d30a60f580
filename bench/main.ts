/** `npm run bench -- WHAT [options]`. A bench is a module that exports `main(args): Promise<void>`. */
const BENCHES: Record<string, string> = {
  e2e: 'Linux sends to zcrx over every way in, to node:net and to recv() in C, at three MTUs (needs root, cc)',
  latency:
    'echoes of 64 bytes over loopback: servers on Linux’s own rings beside node:net, one and a thousand connections',
  loss: 'Linux sends over a path that loses and delays frames, to zcrx and to node:net (needs root)',
  pcap: 'captures: reading, following and replaying a million packets, beside capinfos and tshark',
  scale: 'memory of 100000 idle connections, and what a timer costs among a million',
  stack: 'the protocol stack alone, over a scripted queue: time per packet',
  workers:
    'a server on worker threads beside one inline: rate and CPU per packet, over veth (needs root, cc), latency',
}

// Who reads the output may have seen enough (`| head`).
process.stdout.on('error', () => process.exit())

const [name = '', ...args] = process.argv.slice(2)
if (Object.hasOwn(BENCHES, name)) {
  const bench = (await import(new URL(`./${name}.js`, import.meta.url).href)) as {
    main(args: string[]): Promise<void>
  }
  await bench.main(args)
} else {
  const width = Math.max(...Object.keys(BENCHES).map((key) => key.length))
  const list = Object.entries(BENCHES).map(([key, text]) => `  ${key.padEnd(width)}  ${text}`)
  process.stderr.write(`usage: npm run bench -- WHAT [options]\n${list.join('\n')}\n`)
  process.exitCode = 2
}
