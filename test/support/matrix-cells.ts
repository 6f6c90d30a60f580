import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { XdpMode } from '../../driver/xdp/index.ts'
import type { Endpoint } from './endpoint.ts'
import { runs } from './long.ts'
import {
  type Cell,
  cellRan,
  type End,
  type EndpointOptions,
  expectedOutcome,
  openEndpoint,
  reportCells,
  runCell,
} from './matrix.ts'
import { faults, type WireCapture } from './tshark.ts'
import type { Way } from './ways.ts'

/** What the matrix has to know of a way in. */
export interface MatrixWay {
  readonly name: string
  /** Why it can't be had here; empty when it can. */
  readonly obstacle: string
  make(): Way
  /** Captures what we send, where the wire can be looked at from the other end. */
  capture?(way: Way): Promise<WireCapture>
  /** The stack can only have the machine's own addresses. */
  readonly hostOnly?: boolean
  /** Bytes each way of the bulk cells, which every combination has. */
  readonly bulk: number
  /** Further cells. */
  readonly single: readonly { readonly what: string; readonly cell: Cell; readonly mode?: XdpMode }[]
}

const MB = 1 << 20

/** All the combinations of who opens, who closes first and the version of IP. */
function combinations(): { opens: End; closes: End; version: 4 | 6 }[] {
  const ends = ['Linux', 'we'] as const
  return ends.flatMap((opens) =>
    ends.flatMap((closes) => ([4, 6] as const).map((version) => ({ opens, closes, version }))),
  )
}

function cellName({ opens, closes, version, send }: Cell): string {
  return `${opens} opens, ${closes === 'we' ? 'we close' : 'Linux closes'} first, IPv${version}, ${send} bytes each way`
}

/** The matrix of connections with Linux over one way in. */
export function describeMatrix(matrix: MatrixWay): void {
  afterAll(() => reportCells(matrix.name, matrix.obstacle))

  describe.skipIf(matrix.obstacle !== '')(`the stack against Linux over ${matrix.name}`, () => {
    let pair: Way
    let capture: WireCapture | null = null
    let endpoint: Endpoint | null = null
    beforeAll(async () => {
      pair = matrix.make()
      capture = (await matrix.capture?.(pair)) ?? null
    })
    afterEach(() => {
      endpoint?.close()
      endpoint = null
    })
    afterAll(() => {
      capture?.remove()
      pair?.destroy()
    })

    /** Runs a cell and holds it to everything that must be true of any. */
    async function hold(cell: Cell, options: Partial<EndpointOptions> = {}): Promise<Endpoint> {
      // The machine's address over IPv4, one of our own over IPv6: who finds neighbours is another each time.
      const own = matrix.hostOnly !== true && cell.version === 6
      const ours = openEndpoint(pair, { version: cell.version, own, ...options })
      endpoint = ours
      expect(await runCell(pair, ours, cell)).toEqual(expectedOutcome(cell))
      // Who closes first waits out the last segments (RFC 9293 3.3.2); the other end has nothing left.
      const waiting = cell.closes === 'we' ? (cell.times ?? 1) : 0
      await vi.waitFor(
        () => {
          const { connectionsReset, dropDuplicate } = ours.host.stack.counters
          // Where our ACK was late, the peer sent its FIN again, and answers the second ACK with a reset (RFC 1337 section 2).
          const ended = Math.min(connectionsReset, dropDuplicate)
          expect([...ours.states(), ...Array(ended).fill('TIME-WAIT')]).toEqual(
            Array(waiting).fill('TIME-WAIT'),
          )
        },
        { interval: 2 },
      )
      const { lost, rx, queued, user } = ours.census()
      expect({ lost, rx, queued, user }).toEqual({ lost: 0, rx: 0, queued: 0, user: 0 })
      return ours
    }

    /** Every combination with so many bytes each way. */
    function everyWay(bytes: number) {
      return combinations().map((ends) => {
        const cell = { ...ends, send: bytes, receive: bytes }
        return [cellName(cell), cell] as const
      })
    }
    const plainCell = async (_name: string, cell: Cell): Promise<void> => {
      await hold(cell)
      cellRan()
    }
    it.each([...everyWay(1), ...everyWay(MB)])('%s', plainCell, 60_000)

    it.each(
      combinations()
        .filter(({ version }) => version === 4)
        .map(({ opens, closes }) => [opens, closes === 'we' ? 'we shut' : 'Linux shuts', closes] as const),
    )(
      'half-closed: %s opens, %s down writing first, the other goes on',
      async (opens, _who, closes) => {
        await hold({ opens, closes, version: 4, send: MB, receive: MB, half: true })
        cellRan()
      },
      60_000,
    )

    it.each([
      ['one after another', runs(1000, 300), 1, 'Linux', 4],
      ['one after another', runs(1000, 300), 1, 'we', 6],
      ['at once', 200, 200, 'Linux', 6],
      ['at once', 200, 200, 'we', 4],
    ] as const)(
      '%s: %i connections, %i at a time, opened by %s over IPv%i',
      async (_how, times, atOnce, opens, version) => {
        const timeWaitUs = 100_000
        const cell = { opens, closes: 'we', version, send: 100, receive: 100, times, atOnce } as const
        const own = matrix.hostOnly !== true
        const ours = openEndpoint(pair, { version, own, tcp: { timeWaitUs } })
        endpoint = ours
        expect(await runCell(pair, ours, cell)).toEqual(expectedOutcome(cell))
        await vi.waitFor(() => expect(ours.states()).toEqual([]), { interval: 10, timeout: 5000 })
        const { kernel, stack } = ours.host
        const { lost, rx, queued, user } = ours.census()
        expect({ lost, rx, queued, user }).toEqual({ lost: 0, rx: 0, queued: 0, user: 0 })
        expect(stack.tcp.connections).toBe(0)
        const open = Array.from({ length: 2 * times }, (_, fd) => fd).filter(
          (fd) => kernel.files.get(fd) !== null,
        )
        expect(open.length).toBe(opens === 'Linux' ? 1 : 0)
        // The last timer may be the neighbour's, which is probed (RFC 4861 7.3.3).
        await vi.waitFor(() => expect(stack.nextDeadline()).toBe(Number.POSITIVE_INFINITY), {
          timeout: 10_000,
        })
        cellRan()
      },
      60_000,
    )

    if (matrix.capture !== undefined)
      it('tshark finds no fault with any frame of ours', async () => {
        expect(await capture!.stop()).toBeGreaterThan(1000)
        expect(faults(capture!.file)).toEqual([])
        cellRan()
      }, 60_000)

    it.each(everyWay(matrix.bulk))('%s', plainCell, 60_000)

    it.each(matrix.single)(
      '$what',
      async ({ cell, mode }) => {
        await hold(cell, mode === undefined ? {} : { mode })
        cellRan()
      },
      60_000,
    )
  })
}
