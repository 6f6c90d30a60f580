import { type ChildProcess, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { script } from '../driver/xdp/setup.ts'
import { nextLine } from './lines.ts'
import { ip, type VethPair } from './netns.ts'
import { PYTHON } from './python.ts'
import { hasSharkd, withCapture } from './sharkd.ts'
import { withoutGuesses } from './wireshark.ts'

/** A directory of a test's own for captures. */
export function captureDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'zcrx-'))
  return { path, remove: () => rmSync(path, { recursive: true }) }
}

/** Lines that tshark prints for a capture, every checksum validated. */
export function tshark(file: string, ...args: string[]): string[] {
  const checks = ['tcp', 'ip', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`])
  return execFileSync('tshark', ['-n', '-r', file, ...checks, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 28,
    env: withoutGuesses(),
  })
    .split('\n')
    .filter((line) => line !== '')
}

/** How many packets match each filter: one tshark for all of them, whose start takes longer than its work. */
export function matches(file: string, filters: readonly string[]): number[] {
  const lines = tshark(file, '-q', '-z', ['io,stat,0', ...filters].join(','))
  const table = lines.find((line) => /^\|.*<>.*\|$/.test(line) && !line.includes('Interval'))
  const cells = table!.split('|').slice(2, -1).map(Number)
  // Frames and bytes of each.
  return filters.map((_, i) => cells[2 * i]!)
}

/** What an ICMP error quotes is not the sender's own: it may be cut short or damaged. */
const QUOTES = '(icmp.type in {3,5,11,12} || icmpv6.type in {1,2,3,4})'

const FAULTS = [
  // Severity 0x800000 is "error". Warnings are left out: a capture of one side only makes tshark warn.
  `((_ws.malformed || _ws.expert.severity >= 0x800000) && !${QUOTES})`,
  ...['ip', 'icmp', 'icmpv6'].map((name) => `${name}.checksum.status == "Bad"`),
  `((tcp.checksum.status == "Bad" || udp.checksum.status == "Bad") && !${QUOTES})`,
].join(' || ')

/** The frames in which tshark finds a fault, one line each with its reasons. */
export function faults(file: string): string[] {
  return tshark(
    file,
    '-Y',
    FAULTS,
    '-T',
    'fields',
    '-e',
    '_ws.col.Info',
    '-e',
    '_ws.expert.message',
    '-e',
    'frame.number',
  )
}

/** `faults` and `matches` in one, by the dissectors that run already. */
export function verdict(
  file: string,
  filters: readonly string[],
): Promise<{ faults: string[]; matches: number[] }> {
  if (!hasSharkd) return Promise.resolve({ faults: faults(file), matches: matches(file, filters) })
  return withCapture(file, true, async (capture) => {
    const found = await capture.frames(FAULTS, '_ws.expert.message', 'frame.number', 'frame.protocols')
    const counts: number[] = []
    for (const filter of filters) counts.push((await capture.frames(filter, 'frame.number')).length)
    return { faults: found.map((fields) => fields.join('\t')), matches: counts }
  })
}

/** A capture, at the peer's end of a veth pair, of everything that our interface sends. */
export class WireCapture {
  readonly file: string
  readonly #child: ChildProcess
  readonly #directory: ReturnType<typeof captureDirectory>
  readonly #exit: Promise<number | null>

  private constructor(pair: VethPair, mac: string | undefined) {
    this.#directory = captureDirectory()
    this.file = join(this.#directory.path, 'ours.pcap')
    const [link] = JSON.parse(ip('-n', pair.ours, '-j', 'link', 'show', pair.device))
    const address = mac?.replace(/(..)(?!$)/g, '$1:') ?? link.address
    this.#child = pair.start(pair.peer, PYTHON, script('capture.py'), pair.peerDevice, address, this.file)
    this.#exit = new Promise((resolve) => this.#child.once('close', resolve))
  }

  /** @param mac hardware address of ours in hexadecimal digits; default the interface's */
  static async start(pair: VethPair, mac?: string): Promise<WireCapture> {
    const capture = new WireCapture(pair, mac)
    await nextLine(capture.#child.stdout!)
    return capture
  }

  /** Ends the capture; the frames written. @throws Error when frames are missing */
  async stop(): Promise<number> {
    this.#child.stdin!.end()
    const [written, dropped] = (await nextLine(this.#child.stdout!)).split(' ').map(Number)
    const code = await this.#exit
    if (code !== 0 || dropped !== 0)
      throw new Error(`the capture ended with ${code}, ${dropped} frames missing`)
    return written!
  }

  remove(): void {
    this.#child.kill('SIGKILL')
    this.#directory.remove()
  }
}
