import { spawn, spawnSync } from 'node:child_process'
import { createHash, type Hash } from 'node:crypto'
import { type Followed, followedEnds, hasSharkd, withCapture } from './sharkd.ts'

/** What tshark says that one end of a conversation has sent. */
export interface TsharkStream {
  /** `tcp.stream` */
  readonly stream: number
  /** Who sent it, as `StreamReport` has it: `192.0.2.1:40000`, `[2001:db8::1]:40000`; `:0` when there is no such stream. */
  readonly node: string
  /** Markers of holes included. */
  readonly bytes: number
  readonly sha256: string
}

/** Streams that one tshark follows: it reads the file once for all of them, and each costs time per packet. */
const BATCH = 50

/** How many TCP streams tshark finds in a capture. */
export function tsharkStreams(file: string): number {
  // Its status says when the capture is cut short; what is in front of that counts.
  const { stdout, error } = spawnSync('tshark', ['-r', file, '-T', 'fields', '-e', 'tcp.stream'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (error !== undefined) throw error
  let count = 0
  // A segment quoted in another packet, or tunnelled, makes a line of several numbers.
  for (const number of stdout.split(/[\n,]/)) if (number !== '') count = Math.max(count, Number(number) + 1)
  return count
}

/**
 * What `tshark -z follow,tcp,raw` makes of a capture: two entries for each stream, Node 0 before Node 1. Of sharkd, which
 * follows as tshark does, where there is one.
 * @param streams numbers of streams, or how many from 0 on; default all
 */
export async function tsharkFollow(
  file: string,
  streams: number | readonly number[] = tsharkStreams(file),
): Promise<TsharkStream[]> {
  const numbers = typeof streams === 'number' ? Array.from({ length: streams }, (_, i) => i) : streams
  if (hasSharkd) {
    return withCapture(file, false, async (capture) => {
      const found: TsharkStream[] = []
      for (const number of numbers) found.push(...ends(number, await capture.follow(number)))
      return found
    })
  }
  return tsharkFollowAlone(file, numbers)
}

/** By tshark itself, whose output is taken line by line, so the capture may be large. */
export async function tsharkFollowAlone(file: string, numbers: readonly number[]): Promise<TsharkStream[]> {
  const found: TsharkStream[] = []
  for (let from = 0; from < numbers.length; from += BATCH) {
    found.push(...(await followBatch(file, numbers.slice(from, from + BATCH))))
  }
  return found
}

/** `tsharkFollow` by `streamKey`; of a stream whose ends have the same address and port Node 0, which has everything. */
export async function tsharkDigests(
  file: string,
  streams?: number | readonly number[],
): Promise<Map<string, TsharkStream>> {
  const found = await tsharkFollow(file, streams)
  return new Map(found.reverse().map((each) => [streamKey(each.stream, each.node), each]))
}

export function streamKey(stream: number, node: string): string {
  return `${stream} ${node}`
}

function ends(stream: number, followed: Followed): TsharkStream[] {
  const hashes = [createHash('sha256'), createHash('sha256')] as const
  const bytes = [0, 0]
  for (const { d, s } of followed.payloads ?? []) {
    const data = Buffer.from(d, 'base64')
    const side = s === 1 ? 1 : 0
    bytes[side]! += data.length
    hashes[side].update(data)
  }
  const { client, server } = followedEnds(followed)
  const nodes = [client, server]
  return ([0, 1] as const).map((side) => ({
    stream,
    node: nodes[side]!,
    bytes: bytes[side]!,
    sha256: hashes[side].digest('hex'),
  }))
}

class Part {
  stream = -1
  readonly nodes: string[] = []
  readonly bytes: [number, number] = [0, 0]
  readonly hashes: readonly [Hash, Hash] = [createHash('sha256'), createHash('sha256')]

  line(line: string): void {
    if (this.stream < 0) {
      const match = /^Filter: tcp\.stream eq (\d+)$/.exec(line)
      if (match !== null) this.stream = Number(match[1])
      return
    }
    if (this.nodes.length < 2) {
      this.nodes.push(line.slice('Node 0: '.length))
      return
    }
    const side = line.startsWith('\t') ? 1 : 0
    const data = Buffer.from(line.trim(), 'hex')
    this.bytes[side] += data.length
    this.hashes[side].update(data)
  }

  result(): TsharkStream[] {
    return ([0, 1] as const).map((side) => ({
      stream: this.stream,
      node: this.nodes[side]!,
      bytes: this.bytes[side],
      sha256: this.hashes[side].digest('hex'),
    }))
  }
}

async function followBatch(file: string, numbers: readonly number[]): Promise<TsharkStream[]> {
  const wanted = numbers.flatMap((number) => ['-z', `follow,tcp,raw,${number}`])
  const child = spawn('tshark', ['-r', file, '-q', ...wanted], { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  const closed = new Promise<void>((resolve, reject) => child.once('error', reject).once('close', resolve))
  closed.catch(() => {})
  const parts: Part[] = []
  let part: Part | null = null
  let rest = ''
  // A rule in front of each stream and one behind the last of its lines.
  for await (const text of child.stdout.setEncoding('latin1')) {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith('===')) part?.line(line)
      else if (part === null) {
        part = new Part()
        parts.push(part)
      } else part = null
    }
  }
  await closed
  // Status 2 alone means that the capture is cut short or damaged, which is said and may be what is tested.
  if (parts.length !== numbers.length || part !== null) {
    throw new Error(`tshark followed ${parts.length} of ${numbers.length} streams of ${file}: ${complaint}`)
  }
  // The last one asked for comes first.
  return parts.sort((a, b) => a.stream - b.stream).flatMap((each) => each.result())
}
