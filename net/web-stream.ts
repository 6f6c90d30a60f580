import { joined, joinInto } from './joining.ts'
import type { ReadEnd } from './read-end.ts'
import type { StreamedConnection, WebStreams } from './stream-types.ts'

/** Bytes in one chunk at the most, where the reader brings no memory of its own. */
const CHUNK_BYTES = 64 << 10

/** A connection as web streams. @param end what is received, whose only reader they are from now on */
export function toWebStreams(connection: StreamedConnection, end: ReadEnd): WebStreams {
  const { received } = end
  /** Who waits for data. */
  let arrived: (() => void) | null = null
  /** Neither direction is wanted any more when both have ended. */
  let open = 2
  const ended = (): void => {
    open--
    if (open === 0) connection.close()
  }
  let failed: (error: Error) => void = () => {}
  const readable = new ReadableStream(
    {
      type: 'bytes',
      start: (controller) => {
        failed = (error) => controller.error(error)
      },
      pull: async (controller) => {
        while (received.count === 0 && !end.streamEnded)
          await new Promise<void>((resolve) => {
            arrived = resolve
          })
        const request = controller.byobRequest
        if (received.count === 0) {
          if (end.streamError !== null) return failed(end.streamError)
          controller.close()
          // Whoever waits with memory of his own gets it back.
          request?.respond(0)
          ended()
          return
        }
        const into = request?.view ?? null
        if (into !== null) {
          const bytes = joinInto(end, new Uint8Array(into.buffer, into.byteOffset, into.byteLength))
          connection.copied(bytes)
          request!.respond(bytes)
          return
        }
        const chunk = joined(end, CHUNK_BYTES)
        connection.copied(chunk.length)
        controller.enqueue(new Uint8Array(chunk.buffer as ArrayBuffer, 0, chunk.length))
      },
      cancel: () => {
        // What comes is not wanted: the peer's window closes, and its data makes the close a reset.
        connection.pause()
        ended()
      },
    },
    { highWaterMark: 0 },
  )
  const writable = new WritableStream<Uint8Array>({
    start: (controller) => {
      const readableFailed = failed
      failed = (error) => {
        readableFailed(error)
        controller.error(error)
      }
    },
    write: async (chunk) => {
      try {
        await connection.send(chunk)
      } catch (error) {
        // The stream is broken for good, and so is what the peer would get.
        connection.reset()
        throw error
      }
    },
    close: () => {
      connection.end()
      ended()
    },
    abort: () => connection.reset(),
  })
  end.attach({
    onReadable: () => {
      if (end.streamError !== null && received.count === 0) failed(end.streamError)
      arrived?.()
      arrived = null
    },
  })
  return { readable, writable }
}
