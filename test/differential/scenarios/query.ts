import * as abi from '../../../uapi/abi/index.ts'
import { answer, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

/** The header of a question. */
function header(x: Run, op: number, data: Uint8Array | null, size: number): abi.QueryHdr {
  const made = new abi.QueryHdr(x.bytes(abi.QueryHdr.SIZE))
  made.queryOp = op
  made.queryData = data === null ? 0 : x.r.arena.addressOf(data)
  made.size = size
  return made
}

/** Asks, and says what stands in the headers then. */
function ask(x: Run, what: string, headers: readonly abi.QueryHdr[], count = 0): void {
  for (const [i, each] of headers.entries()) {
    const next = headers[i + 1]
    if (next !== undefined) each.nextEntry = x.r.arena.addressOf(next.bytes)
  }
  const result = x.backend(x.r).register(abi.IORING_REGISTER_QUERY, headers[0]!.bytes, count)
  const said = headers.map(({ result: each, size }) => `${answer(each)}/${size}`)
  x.say(what, answer(result), ...said)
}

const since = [6, 18] as const
const why = 'QUERY'
/** The answers that are about zero-copy receive. */
const { IO_URING_QUERY_ZCRX: ZCRX, IO_URING_QUERY_ZCRX_EVENT: EVENT, IO_URING_QUERY_SCQ: SCQ } = abi

export const query: Scenario[] = [
  ...scenarios('query', {
    unknown: {
      since,
      why,
      run(x) {
        for (const op of [100, 0x7fff_ffff, 0xffff_ffff]) {
          const data = x.bytes(16, 0xcc)
          ask(x, `${op}`, [header(x, op, data, 16)])
          x.say('data', ...data)
          const far = header(x, op, null, 16)
          far.queryData = 8
          ask(x, `${op} of bad data`, [far])
        }
      },
    },
    errors: {
      since,
      why,
      run(x) {
        const data = x.bytes(64)
        ask(x, 'count', [header(x, 0, data, 64)], 1)
        const filled = x.bytes(16, 0xcc)
        const reserved = header(x, 0, filled, 16)
        reserved.bytes[30] = 1
        ask(x, 'reserved', [reserved])
        x.say('data', ...filled)
        const reservedFar = header(x, 0, null, 16)
        reservedFar.bytes[30] = 1
        reservedFar.queryData = 8
        ask(x, 'reserved and bad data', [reservedFar])
        // Not more than there is memory for: kernels before 7.3 fill all of it.
        for (const size of [64, 4096, 4097])
          for (const op of [0, 100]) ask(x, `${op} with ${size}`, [header(x, op, x.pages(8192), size)])
        const far = header(x, 0, null, 64)
        far.queryData = 8
        ask(x, 'bad data', [far])
        ask(x, 'no data', [header(x, 0, null, 64)])
        x.say('no header', answer(x.backend(x.r).register(abi.IORING_REGISTER_QUERY, null, 0)))
        const result = header(x, 0, data, 64)
        result.bytes[24] = 1
        ask(x, 'result', [result])
        ask(x, 'size 0', [header(x, 0, data, 0)])
      },
    },
    loops: {
      since,
      why,
      run(x) {
        const loop = header(x, 100, null, 0)
        loop.nextEntry = x.r.arena.addressOf(loop.bytes)
        x.say('loop', answer(x.backend(x.r).register(abi.IORING_REGISTER_QUERY, loop.bytes, 0)))
      },
    },
    badNext: {
      since,
      why,
      run(x) {
        const first = header(x, 100, null, 0)
        first.nextEntry = 8
        x.say('next', answer(x.backend(x.r).register(abi.IORING_REGISTER_QUERY, first.bytes, 0)))
        x.say('first', answer(first.result))
      },
    },
    onAnyRing: {
      since,
      why,
      run(x) {
        for (const flags of [0, abi.IORING_SETUP_SQPOLL, abi.IORING_SETUP_R_DISABLED]) {
          const ring = x.ring(flags)
          x.say(flags, answer(ring.query(100, x.bytes(8))), ring.query(0, x.bytes(256, 0xcc)) > 0)
        }
      },
    },
    sizes: {
      since,
      why,
      run(x) {
        const data = x.bytes(256, 0xcc)
        ask(x, 'long', [header(x, 0, data, 256)])
        x.say(
          'zeroed',
          data.subarray(64).every((byte) => byte === 0),
        )
      },
    },
  }),
  ...scenarios(
    'query',
    {
      zcrx(x) {
        const data = x.bytes(64, 0xcc)
        const asked = header(x, ZCRX, data, 64)
        ask(x, 'zcrx', [asked])
        x.say(...data)
      },
      zcrxEvent(x) {
        const data = x.bytes(64, 0xcc)
        ask(x, 'events', [header(x, EVENT, data, 64)])
        x.say(...data)
      },
      scq(x) {
        const data = x.bytes(64, 0xcc)
        ask(x, 'rings', [header(x, SCQ, data, 64)])
        x.say(...data)
      },
      short(x) {
        for (const op of [ZCRX, EVENT, SCQ])
          for (const size of [0, 1, 8, 24, 40]) {
            const data = x.bytes(48, 0xcc)
            ask(x, `${op} ${size}`, [header(x, op, data, size)])
            x.say(...data)
          }
      },
      chain(x) {
        const data = x.bytes(64)
        ask(x, 'three', [header(x, ZCRX, data, 40), header(x, 100, data, 40), header(x, EVENT, data, 48)])
        const reserved = header(x, ZCRX, data, 40)
        reserved.bytes[39] = 1
        ask(x, 'past a bad one', [reserved, header(x, EVENT, data, 48)])
      },
      badData(x) {
        const asked = header(x, ZCRX, null, 40)
        asked.queryData = 8
        ask(x, 'bad', [header(x, EVENT, x.bytes(48), 48), asked, header(x, ZCRX, x.bytes(48), 48)])
      },
    },
    'zcrx',
  ),
]
