import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { withoutGuesses } from './wireshark.ts'

/** Wireshark's dissectors in a process that reads one capture after the other: a tshark for each takes a third of a second to start. */

/** `follow` of sharkd(1): a payload is base64, and the server's has `s`. */
export interface Followed {
  readonly chost: string
  readonly cport: string
  readonly shost: string
  readonly sport: string
  readonly payloads?: readonly { readonly d: string; readonly s?: number }[]
}

/** A number that no frame of a test's capture has. */
const NO_FRAME = 0xffff_ffff

interface Answer {
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

/** What can be asked of the capture that is loaded. */
export class Sharkd {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #asked = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
  #id = 0
  #loads = 0

  constructor() {
    // It ends with its standard input, so whatever becomes of the process that started it.
    this.#child = spawn('sharkd', ['-'], { stdio: ['pipe', 'pipe', 'ignore'], env: withoutGuesses() })
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, ...answer } = JSON.parse(line) as Answer & { id: number }
      this.#asked.get(id)?.resolve(answer)
      this.#asked.delete(id)
    })
    this.#child.once('close', (code, signal) => {
      for (const { reject } of this.#asked.values()) reject(new Error(`sharkd ended with ${code ?? signal}`))
    })
    this.#child.stdin.on('error', () => {})
    this.#child.unref()
    for (const pipe of [this.#child.stdin, this.#child.stdout]) (pipe as unknown as { unref(): void }).unref()
  }

  #ask(method: string, params: object): Promise<Answer> {
    const id = ++this.#id
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject })
      this.#child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    })
  }

  async #result(method: string, params: object): Promise<unknown> {
    const { result, error } = await this.#ask(method, params)
    if (error !== undefined) throw new Error(`sharkd: ${method} ${JSON.stringify(params)}: ${error.message}`)
    return result
  }

  /** @param checksums whether they are verified: a stream is followed without what has a wrong one */
  async load(file: string, checksums: boolean): Promise<void> {
    this.#loads++
    for (const protocol of ['tcp', 'ip', 'udp']) {
      await this.#result('setconf', {
        name: `${protocol}.check_checksum`,
        value: checksums ? 'TRUE' : 'FALSE',
      })
    }
    // A capture that is cut short is loaded to its end, and the request never answered.
    void this.#ask('load', { file }).catch(() => {})
    const { filename } = (await this.#result('status', {})) as { filename?: string }
    if (filename === undefined || !file.endsWith(filename)) throw new Error(`sharkd has not loaded ${file}`)
  }

  async packets(): Promise<number> {
    return ((await this.#result('status', {})) as { frames: number }).frames
  }

  async follow(stream: number): Promise<Followed> {
    return (await this.#result('follow', {
      follow: 'TCP',
      filter: `tcp.stream eq ${stream}`,
    })) as Followed
  }

  /** Fields of the packets that match, as columns show them. */
  async frames(filter: string, ...fields: string[]): Promise<string[][]> {
    const columns = fields.map((field, i) => [`column${i}`, `${field}:0`])
    // It keeps what a filter matched, for the next capture too: a filter of this one's own.
    const own = `(${filter}) && frame.number != ${NO_FRAME - this.#loads}`
    const rows = await this.#result('frames', { filter: own, ...Object.fromEntries(columns) })
    return (rows as { c: string[] }[]).map(({ c }) => c)
  }
}

/** Endpoints as tshark prints them: Node 0, Node 1; `:0` when there is no such stream. */
export function followedEnds({ chost, cport, shost, sport }: Followed): { client: string; server: string } {
  const endpoint = (host: string, port: string): string => {
    if (host === 'NONE') return ':0'
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  }
  return { client: endpoint(chost, cport), server: endpoint(shost, sport) }
}

/** False where Wireshark is packed without it. */
export const hasSharkd: boolean = (process.env.PATH ?? '')
  .split(delimiter)
  .some((folder) => existsSync(join(folder, 'sharkd')))

let shared: Sharkd | undefined
let turn: Promise<unknown> = Promise.resolve()

/** Loads a capture into this process's sharkd, when those before have had what they wanted of theirs. */
export function withCapture<T>(
  file: string,
  checksums: boolean,
  use: (capture: Sharkd) => Promise<T>,
): Promise<T> {
  const mine = turn.then(async () => {
    shared ??= new Sharkd()
    await shared.load(file, checksums)
    return await use(shared)
  })
  turn = mine.catch(() => {})
  return mine
}
