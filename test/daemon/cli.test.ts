import { CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { ZcrxError } from '../../daemon/api.ts'
import type { FollowRequest } from '../../daemon/captures/follow.ts'
import type { ReplayRequest } from '../../daemon/captures/replay.ts'
import { UsageError } from '../../daemon/cli/parse.ts'
import { buildProgram } from '../../daemon/cli/program.ts'
import { describeFailure } from '../../daemon/cli/report.ts'
import type { DemoOptions } from '../../daemon/demo/options.ts'
import type { DoctorRequest } from '../../daemon/doctor/command.ts'
import type { RunOptions } from '../../daemon/run/run.ts'

interface Seen {
  run?: RunOptions
  demo?: DemoOptions
  json?: boolean
  replay?: ReplayRequest
  follow?: FollowRequest
  doctor?: DoctorRequest
}

async function parse(line: string): Promise<Seen & { status: number; text: string }> {
  const seen: Seen = {}
  let status = -1
  let text = ''
  const program = buildProgram(
    {
      run: async (options) => {
        seen.run = options
        return 0
      },
      demo: async (options, json) => {
        seen.demo = options
        seen.json = json
        return 1
      },
      replay: async (request) => {
        seen.replay = request
        return 0
      },
      follow: async (request) => {
        seen.follow = request
        return 1
      },
      doctor: async (request) => {
        seen.doctor = request
        return 1
      },
    },
    (result) => {
      status = result
    },
  )
  const output = { writeOut: (part: string) => (text += part), writeErr: (part: string) => (text += part) }
  for (const command of [program, ...program.commands]) command.configureOutput(output)
  try {
    await program.parseAsync(line.split(' '), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    status = error.exitCode === 0 ? 0 : 2
  }
  return { ...seen, status, text }
}

describe('zcrxd run', () => {
  it('has sensible defaults', async () => {
    expect((await parse('run --device eth0 --listen :9000')).run).toEqual({
      device: 'xdp:eth0/0',
      listen: { port: 9000 },
      sink: { kind: 'discard' },
      ownAddress: false,
      dad: true,
      once: false,
      json: false,
      verbose: false,
      statsEvery: 10_000,
    })
  })

  it('takes everything', async () => {
    const line =
      '--verbose run -d eth0 -q 3 --mode native -l 192.0.2.1:80 -s file:/srv --area 128M --own-address --once --stats 0 --json'
    expect((await parse(line)).run).toEqual({
      device: 'xdp:eth0/3?mode=native',
      listen: { address: '192.0.2.1', port: 80 },
      sink: { kind: 'file', directory: '/srv' },
      areaBytes: 128 << 20,
      ownAddress: true,
      dad: true,
      once: true,
      json: true,
      verbose: true,
      statsEvery: 0,
    })
  })

  it('takes how long to look for frames before it sleeps', async () => {
    const busyPollUs = async (text: string) => (await parse(`run -d eth0 -l :9000 --busy-poll ${text}`)).run
    expect(await busyPollUs('50')).toMatchObject({ busyPollUs: 50 })
    expect(await busyPollUs('always')).toMatchObject({ busyPollUs: Number.POSITIVE_INFINITY })
    for (const wrong of ['-1', '0.5', 'ever', '600000001'])
      expect((await parse(`run -d eth0 -l :9000 --busy-poll=${wrong}`)).status).toBe(2)
  })

  it('takes several places to listen at', async () => {
    const { run } = await parse('run -d eth0 -l :9000 -l 0.0.0.0:1 -l [::]:2 --take-over --secret-file /x')
    expect(run).toMatchObject({
      listen: [{ port: 9000 }, { address: '0.0.0.0', port: 1 }, { address: '::', port: 2 }],
      takeOver: true,
      secretFile: '/x',
    })
    expect((await parse('run -d eth0 -l :9000 -l nowhere')).status).toBe(2)
  })

  it('takes --mode for the XDP program and, in octal, for files', async () => {
    const sinkOf = async (flags: string) => (await parse(`run -d eth0 -l :1 ${flags}`)).run
    expect(await sinkOf('-s file:/srv --mode 0640 --mode native --fsync interval:250ms')).toMatchObject({
      device: 'xdp:eth0/0?mode=native',
      sink: { kind: 'file', directory: '/srv', mode: 0o640, fsync: { kind: 'interval', everyMs: 250 } },
    })
    expect((await sinkOf('-s file:/srv --fsync none'))?.sink).toEqual({
      kind: 'file',
      directory: '/srv',
      fsync: { kind: 'none' },
    })
    expect((await sinkOf('--capture x --mode 644'))?.capture).toEqual({ file: 'x', mode: 0o644 })
    for (const [flags, message] of [
      ['--mode 999', /are no permission bits/],
      ['--mode fast', /not a mode/],
      ['-s file:/srv --fsync sometimes', /allowed are none, close, interval/],
      ['-s file:/srv --fsync interval:0', /allowed are none, close, interval/],
    ] as const) {
      const { status, text } = await parse(`run -d eth0 -l :1 ${flags}`)
      expect([status, text]).toEqual([2, expect.stringMatching(message)])
    }
    await expect(sinkOf('--fsync none')).rejects.toThrow(/--fsync says nothing without --sink file:DIR/)
    await expect(sinkOf('--mode 640')).rejects.toThrow(/says nothing without/)
  })

  it('takes addresses of our own, and what is to happen to frames', async () => {
    const line =
      'run -d eth0 -l :80 --address 192.0.2.5/24 --address slaac --gateway 192.0.2.254 --gateway fe80::1 --no-dad ' +
      '--vlan 100.7 --impair loss=1%,reorder=0.5,delay=10ms,seed=7 --rate-limit 2.5G'
    expect((await parse(line)).run).toMatchObject({
      ownAddress: true,
      addresses: ['192.0.2.5/24', 'auto'],
      gateways: ['192.0.2.254', 'fe80::1'],
      dad: false,
      vlan: [100, 7],
      impair: { loss: 0.01, reorder: 0.5, delayUs: 10_000, seed: 7 },
      rateLimit: 2.5e9,
    })
  })

  it.each([
    ['run --device eth0 --listen :1 --address 192.0.2.5/33', /192\.0\.2\.5\/24/],
    ['run --device eth0 --listen :1 --address fe80::1%eth0', /is not an address/],
    ['run --device eth0 --listen :1 --address 2001:db8::1/64/64', /is not an address/],
    ['run --device eth0 --listen :1 --gateway 192.0.2.0/24', /is not a gateway/],
    ['run --device eth0 --listen :1 --vlan 4095', /from 1 to 4094/],
    ['run --device eth0 --listen :1 --vlan 1.2.3', /more than two/],
    ['run --device eth0 --listen :1 --impair loss=101%', /is not a probability/],
    ['run --device eth0 --listen :1 --impair delay=10', /10ms, 500us or 1s/],
    ['run --device eth0 --listen :1 --impair heat=1%', /allowed are loss, reorder/],
    ['run --device eth0 --listen :1 --rate-limit fast', /is not a rate/],
    ['run --listen :1', /--device/],
    ['run --device eth0', /--listen/],
    ['run --device eth0 --listen here', /allowed is a whole number from 0 to 65535/],
    ['run --device eth0 --listen :1 --sink tape', /allowed are discard, hash and file:DIR/],
    ['run --device eth0 --listen :1 --queue -2', /from 0 to 65535/],
    ['run --device eth0 --listen :1 --mode fast', /auto, native, generic/],
    ['run --device eth0 --listen :1 --area lots', /64M, 1G/],
    ['run --device eth0 --listen :1 --nonesuch', /unknown option/],
    ['launch', /unknown command/],
  ])('%s is a usage error that says what is allowed', async (line, message) => {
    const { status, text } = await parse(line)
    expect(status).toBe(2)
    expect(text).toMatch(message)
  })
})

describe('zcrxd demo', () => {
  it('passes its options on, and the status back', async () => {
    expect(await parse('demo --bytes 64M --mtu 9000 --flows 8 --driver memory --json')).toMatchObject({
      demo: { bytes: 64 << 20, mtu: 9000, flows: 8, driver: 'memory', mode: 'auto' },
      json: true,
      status: 1,
    })
    expect((await parse('demo')).demo).toEqual({ mtu: 1500, flows: 1, mode: 'auto' })
  })

  it('wants at least one byte a flow', async () => {
    await expect(parse('demo --bytes 7 --flows 8')).rejects.toThrow(UsageError)
  })

  it.each(['demo --mtu 65536', 'demo --flows 0', 'demo --driver tun', 'demo --bytes 0'])(
    '%s is refused',
    async (line) => {
      expect((await parse(line)).status).toBe(2)
    },
  )
})

describe.each(['run --device eth0 --listen :1', 'demo'])('the capture of zcrxd %s', (command) => {
  const captureOf = async (flags: string) => {
    const { run, demo } = await parse(`${command} ${flags}`)
    return (run ?? demo)?.capture
  }

  it('is as it is asked for', async () => {
    expect(await captureOf('--json')).toBeUndefined()
    expect(await captureOf('--capture x.pcapng')).toEqual({ file: 'x.pcapng' })
    expect(await captureOf('--capture x --snaplen 128 --capture-size 100M --capture-files 5')).toEqual({
      file: 'x',
      snapLength: 128,
      fileBytes: 100 << 20,
      files: 5,
    })
  })

  it.each([
    ['--capture x --snaplen 0', /from 1 to 262144/],
    ['--capture x --snaplen 64K1', /not a snap length/],
    ['--capture x --capture-size 4095', /allowed is at least 4096 bytes/],
    ['--capture x --capture-size much', /not a size/],
    ['--capture x --capture-size 1M --capture-files 0', /from 1 to 100000/],
    ['--capture dir/', /not the name of a file/],
  ])('%s is a usage error', async (flags, message) => {
    const { status, text } = await parse(`${command} ${flags}`)
    expect(status).toBe(2)
    expect(text).toMatch(message)
  })

  it.each([
    ['--snaplen 100', /--snaplen says nothing without --capture/],
    ['--capture-size 1M', /--capture-size says nothing without --capture/],
    ['--capture-files 2', /--capture-files says nothing without --capture/],
    ['--capture x --capture-files 2', /needs --capture-size/],
  ])('%s says nothing on its own', async (flags, message) => {
    const failure = parse(`${command} ${flags}`)
    await expect(failure).rejects.toThrow(UsageError)
    await expect(failure).rejects.toThrow(message)
  })
})

describe('zcrxd doctor', () => {
  it('has sensible defaults, and takes everything', async () => {
    expect((await parse('doctor')).doctor).toEqual({ json: false, try: false })
    expect(await parse('doctor xdp:eth0/1?mode=native --json --try --area 1G')).toMatchObject({
      status: 1,
      doctor: { device: 'xdp:eth0/1?mode=native', json: true, try: true, areaBytes: 1 << 30 },
    })
    expect((await parse('doctor eth0')).doctor?.device).toBe('auto:eth0')
    expect((await parse('doctor linux:eth0')).doctor).toEqual({
      device: 'linux:eth0',
      json: false,
      try: false,
    })
    expect((await parse('doctor linux:eth0/5?netns=b --apply --port 80 --port 443')).doctor).toEqual({
      device: 'linux:eth0/5?netns=b',
      json: false,
      try: false,
      ports: [80, 443],
      apply: { device: 'eth0', queue: 5, ports: [80, 443], netns: '/run/netns/b' },
    })
  })

  it.each([
    ['doctor xdp:eth0/x', /a queue is a number.*\n {2}xdp:eth0\/x\n {11}\^/],
    ['doctor tun:x', /there is no driver/],
    ['doctor tap:t0/1', /tap: has no queue numbers/],
    ['doctor eth0 --area much', /not a size/],
    ['doctor linux:eth0/x', /a queue is a number.*\n {2}linux:eth0\/x\n {13}\^/],
    ['doctor eth0 --port 80', /--port says nothing but of linux:/],
    ['doctor linux:eth0/5 --port 0', /port/],
    ['doctor xdp:eth0 --apply', /linux:INTERFACE\/QUEUE only/],
    ['doctor linux:eth0 --apply', /one queue/],
    ['doctor linux:eth0/0-3 --apply', /one queue/],
    ['doctor --apply', /./],
    ['doctor linux:eth0/5 --apply --try', /two things/],
    ['doctor eth0 eth1', /too many arguments/],
  ])('%s is a usage error', async (line, message) => {
    const { status, text } = await parse(line).catch((error) => ({
      status: describeFailure(error).status,
      text: describeFailure(error).text,
    }))
    expect(status).toBe(2)
    expect(text).toMatch(message)
  })
})

it('--help shows examples and exits 0', async () => {
  for (const command of ['run', 'demo', 'doctor']) {
    const { status, text } = await parse(`${command} --help`)
    expect(status).toBe(0)
    expect(text).toContain('Examples:\n  zcrxd')
  }
})

describe('describeFailure', () => {
  it('shows message and remedy, no stack', () => {
    const error = new ZcrxError('ZCRX_NIC_BUSY', 'queue 0 is taken', 'take another: --queue 1')
    expect(describeFailure(error, false)).toEqual({
      text: 'zcrxd: queue 0 is taken\n  what to do: take another: --queue 1',
      status: 1,
    })
    expect(describeFailure(error, true).text).toContain('cli.test.ts')
  })

  it('tells usage from failure', () => {
    expect(describeFailure(new UsageError('no'), false)).toEqual({ text: 'zcrxd: no', status: 2 })
    expect(describeFailure(new TypeError('x'), false).status).toBe(1)
  })
})

describe('zcrxd replay and follow', () => {
  it('have sensible defaults', async () => {
    expect(await parse('replay a.pcap')).toMatchObject({
      status: 0,
      replay: { file: 'a.pcap', direction: 'both', json: false, recomputeChecksums: false },
    })
    expect(await parse('follow -')).toMatchObject({
      status: 1,
      follow: { file: '-', direction: 'both', json: false },
    })
  })

  it('take everything', async () => {
    const streams = '--direction server --conversation 3 --out dir --json a.pcapng'
    const wanted = { file: 'a.pcapng', direction: 'server', conversation: 3, out: 'dir', json: true }
    expect((await parse(`follow ${streams}`)).follow).toEqual(wanted)
    const { replay } = await parse(`replay --recompute-checksums --area 8M --capture run.pcapng ${streams}`)
    expect(replay).toEqual({ ...wanted, recomputeChecksums: true, areaBytes: 8 << 20, capture: 'run.pcapng' })
  })

  it.each([
    ['replay', 'missing required argument'],
    ['follow a b', 'too many arguments'],
    ['replay --direction up a', 'allowed: client, server, both'],
    ['follow --conversation x a', 'not a conversation'],
    ['replay --area 0 a', 'not a size'],
  ])('say what is wrong with %s', async (line, message) => {
    const { status, text } = await parse(line)
    expect(status).toBe(2)
    expect(text).toContain(message)
  })
})
