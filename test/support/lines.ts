import type { Readable } from 'node:stream'

interface Reader {
  readonly lines: string[]
  rest: string
  ended: boolean
  wake: () => void
}

const readers = new WeakMap<Readable, Reader>()

function readerOf(stream: Readable): Reader {
  let reader = readers.get(stream)
  if (reader !== undefined) return reader
  reader = { lines: [], rest: '', ended: false, wake: () => {} }
  const made = reader
  readers.set(stream, made)
  stream.setEncoding('utf8').on('data', (part: string) => {
    const lines = (made.rest + part).split('\n')
    made.rest = lines.pop()!
    made.lines.push(...lines)
    made.wake()
  })
  stream.once('close', () => {
    made.ended = true
    made.wake()
  })
  return made
}

/**
 * The next line that a child prints; what it is printed in may be cut anywhere (by Python, with PYTHONUNBUFFERED, at each argument
 * of `print`). @throws Error when the stream ends before
 */
export async function nextLine(stream: Readable): Promise<string> {
  const reader = readerOf(stream)
  while (reader.lines.length === 0) {
    if (reader.ended)
      throw new Error(`the output ended behind ${JSON.stringify(reader.rest)}, before a line was whole`)
    await new Promise<void>((resolve) => {
      reader.wake = resolve
    })
  }
  return reader.lines.shift()!
}
