import * as abi from '../../uapi/abi/index.ts'
import { kindOf } from './acts.ts'
import type { Placement } from './calls.ts'
import { Foreign } from './foreign.ts'
import { Instance } from './instance.ts'
import { registrationOf } from './opening.ts'
import { NoTranslation, type Play, type Seen } from './play.ts'
import type { Scenario } from './record.ts'
import { errnoOf, Registration } from './registration.ts'
import { addArea, addedPages } from './sharing.ts'
import { hex } from './structs.ts'
import type { Hidden, Translation } from './translations.ts'

/** How long one round of sending and returning waits for completions, milliseconds. */
const ROUND_MS = 400
/** What `recv(2)` asks for. */
const RECV_BYTES = 1 << 16

type Run = (play: Play) => void

const sends =
  (count: number, length: number, stream = 1): Run =>
  (play) => {
    for (let i = 0; i < count; i++) play.send(stream, length)
  }
const place =
  (how: Placement): Run =>
  (play) =>
    play.machine.device.place(how)

/** Sends one packet at a time; every buffer is returned as soon as its completion is seen, without a flush. */
function rounds(play: Play, ring: number, count: number, length: number): Seen[] {
  const all: Seen[] = []
  for (let i = 0; i < count; i++) {
    play.send(1, length)
    const seen = play.note(ring, play.ring(ring).drain(ROUND_MS, length))
    for (const one of seen)
      if (one.data) play.refill(one.niov, one.completion.res, one.area, play.handle(ring))
    all.push(...seen)
  }
  return all
}

function received(play: Play, stream: number, key: string, flags = 0): void {
  Object.assign(play.result, errnoOf(key, play.recv(stream, RECV_BYTES, flags).ret))
}

/** How many packets of how many bytes, as the words have it: `20 sends of 1000 bytes`, `12 packets of 1000`. */
function packetsOf(what: string, otherwise: readonly [number, number]): readonly [number, number] {
  const words = /(\d+) (?:sends|packets)(?: of (\d+))?/.exec(what)
  return words === null ? otherwise : [Number(words[1]), Number(words[2] ?? otherwise[1])]
}

/** The packets that only the words tell of, and ZCRX_CTRL_ADD_AREA where no step does: at once, with the request armed, or when nothing is left. */
function addedArea({ name, what, steps }: Scenario): Hidden[] {
  const hidden: Hidden[] = []
  const kinds = steps.map(kindOf)
  const [count, length] = packetsOf(what, [0, 1000])
  if (!kinds.some((kind) => kind.startsWith('send'))) {
    if (count === 0) throw new NoTranslation(`what is sent: "${what}"`)
    hidden.push({ at: ['after', 'submit', 1], run: sends(count, length) })
  }
  if (kinds.includes('ADD_AREA')) return hidden
  const exhausted = /exhaust/.test(name) || /exhausted, then/.test(what)
  const at: Hidden['at'] = /armed|while/.test(name)
    ? ['after', 'submit', 1]
    : exhausted
      ? ['after', 'collect', 1]
      : 'start'
  const run: Run = (play) => {
    const { ret, area } = addArea(play.handle(), play.memory, addedPages(play.scenario))
    Object.assign(play.result, { ...errnoOf('add_area_ret', ret), token: hex(area.big('rq_area_token')) })
  }
  return [{ at, run }, ...hidden]
}

/** An instance whose area is a descriptor's memory, seen through a mapping of its own. */
function openDmabuf(play: Play): void {
  const options = registrationOf(play)
  const registration = new Registration(play.memory, options)
  const file = new Foreign('memfd')
  const fd = play.ours.kernel.files.open(file)
  registration.area.set('flags', abi.IORING_ZCRX_AREA_DMABUF)
  registration.area.set('dmabuf_fd', fd)
  registration.area.set('addr', 0)
  const ret = registration.perform(play.ring(1))
  Object.assign(play.result, errnoOf('ret', ret))
  if (ret !== 0) return
  registration.areaMemory = new Uint8Array(file.memory!, 0, registration.area.get('len'))
  play.adopt(1, registration.reg.get('zcrx_id'), new Instance(registration))
  play.connection()
}

function openWhileDown(play: Play): void {
  const { result } = play
  const { device } = play.machine
  device.setUp(false)
  const options = registrationOf(play)
  const registration = new Registration(play.memory, options)
  Object.assign(result, errnoOf('register_while_down', registration.perform(play.ring(1))))
  play.adopt(1, registration.reg.get('zcrx_id'), new Instance(registration))
  device.setUp(true)
  const other = new Registration(play.memory, options).perform(play.addRing(2))
  Object.assign(result, errnoOf('register_other_ring_when_up', other))
  play.connection()
}

/** The groups `dev` and `dev_reg`. */
export const DEVICE_TRANSLATIONS: readonly Translation[] = [
  { name: /^dev\.\w*areas?(_\w+)?$/, hidden: (_match, scenario) => addedArea(scenario) },
  { name: /^dev_reg\.dmabuf$/, opening: openDmabuf },
  { name: /^dev_reg\.interface_down$/, opening: openWhileDown },
  {
    name: /^dev\.payload_offset_(\d+)$/,
    hidden: ([, offset]) => [{ at: 'start', run: place({ offset: Number(offset) }) }],
  },
  {
    name: /^dev\.rx_buf_len_(\d+)\w*$/,
    general: true,
    registration: ([, bytes]) => ({ rxBufLen: Number(bytes), huge: true, areaPages: 512 }),
    hidden: () => [
      {
        at: 'end',
        run: (play) => {
          play.result.rx_buf_len_out = play.handle().instance.bufferBytes
        },
      },
    ],
  },
  {
    name: /^dev\.shared_buffer_returned_\d+_of_\d+$/,
    hidden: () => [{ at: ['after', 'rq', 1], run: place({ pack: false }) }],
  },
  {
    name: /^dev\.exhaust_then_refill(_no)?_flush$/,
    hidden: (_match, { what }) => [
      { at: ['after', 'submit', 1], run: sends(...packetsOf(what, [20, 1000])) },
    ],
  },
  {
    name: /^dev\.steady_refill(_no)?_flush$/,
    hidden: (_match, { what }) => [
      {
        at: ['after', 'submit', 1],
        run: (play) => {
          const seen = rounds(play, 1, ...packetsOf(what, [200, 1000]))
          // A busy machine's TCP sends again what is long in being answered, and that takes a buffer too.
          if (play.machine.device.split > seen.length) play.marks.set('segments came again', 1)
          play.result.rq_head_end_positive = play.handle().instance.head > 0
        },
      },
    ],
  },
  {
    name: /^dev\.(fallback_exhausted)$/,
    hidden: (_match, { setup }) => [
      { at: ['before', 'send', Number(setup.area_pages ?? 4) + 1], run: place({ whole: true }) },
    ],
  },
  { name: /^dev\.loopback_\w+$/, general: true, route: 'lo' },
  {
    name: /^dev\.nodev_linear_copy$/,
    registration: () => ({ flags: abi.ZCRX_REG_NODEV, ifIdx: 0, ifRxq: 0 }),
    hidden: () => [{ at: 'start', run: place({ whole: true }) }],
  },
  {
    name: /^dev\.(linear_copy|copy_fallback|fallback)\w*$/,
    general: true,
    hidden: () => [{ at: 'start', run: place({ whole: true }) }],
  },
  {
    name: /^dev\.(packets_)?(without|no)_netmem\w*$/,
    general: true,
    hidden: () => [{ at: 'start', run: place({ whole: true }) }],
  },
  {
    name: /^dev\.(other|wrong|another)_(ifq|instance)\w*$/,
    general: true,
    opening: (play) => {
      play.register(1, registrationOf(play))
      play.register(1, { ...registrationOf(play), flags: abi.ZCRX_REG_NODEV, ifIdx: 0, ifRxq: 0 })
      play.connection()
    },
    hints: () => ({ handleFor: (play, ud) => play.handle(1, ud === 1 ? 1 : 0) }),
  },
  {
    name: /^dev\.(bad|invalid)_(refill|entr|rqe)\w*$/,
    general: true,
    hidden: (_match, { what }) => [
      {
        at: ['before', 'refill', 1],
        run: (play) => {
          const count = /\btwo\b|\b2\b/.test(what) ? 2 : 1
          const { instance } = play.handle()
          for (let i = 0; i < count; i++) instance.push({ off: instance.areas[0]!.length })
        },
      },
    ],
  },
  {
    name: /^dev\.plain_recv$/,
    hidden: () => [
      { at: ['after', 'fionread', 1], run: (play) => received(play, 1, 'recv') },
      { at: ['after', 'fionread', 2], run: (play) => received(play, 1, 'peek', abi.MSG_PEEK) },
    ],
  },
  {
    name: /^dev\.ring_exit_queued$/,
    hidden: () => [
      {
        at: ['after', 'send', 1],
        run: (play) => {
          play.ring(1).close()
          received(play, 1, 'recv_after')
          const again = new Registration(play.memory, registrationOf(play))
          const ret = again.perform(play.addRing(2))
          Object.assign(play.result, errnoOf('register_again', ret))
          if (ret === 0) play.adopt(2, again.reg.get('zcrx_id'), new Instance(again))
        },
      },
    ],
  },
  {
    name: /^dev\.import$/,
    hints: () => ({
      ringFor: () => 2,
      collect: (play, nth) =>
        nth === 1 ? rounds(play, 2, ...packetsOf(play.scenario.what, [20, 1000])) : null,
    }),
  },
  {
    name: /^dev\.cq_full$/,
    hidden: (_match, { what }) => [{ at: 'start', run: sends(...packetsOf(what, [12, 1000])) }],
  },
  {
    name: /^dev\.eof_and_reset$/,
    hidden: () => [
      { at: ['after', 'send', 1], run: (play) => play.end(1, 'fin') },
      { at: ['after', 'send', 2], run: (play) => play.end(2, 'reset') },
    ],
  },
  {
    name: /^dev\.other_traffic_on_queue$/,
    hidden: () => [{ at: 'end', run: (play) => received(play, 2, 'recv_of_other') }],
  },
]
