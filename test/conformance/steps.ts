import * as abi from '../../uapi/abi/index.ts'
import type { Act } from './acts.ts'
import { compareCompletions } from './compare.ts'
import { CTRL_OP, control, ctrl, type Handle } from './instance.ts'
import { NoTranslation, type Play, type Seen } from './play.ts'
import { isObject, type Json, type JsonObject, numberOf } from './record.ts'
import { addArea, addedPages, importInstance } from './sharing.ts'
import { hex } from './structs.ts'
import { FIRST_OTHER_UD } from './test-ring.ts'

const PAGE = 4096
const LINKED_TIMEOUT_UD = 300
const LINKED_NOP_UD = 301
const UNKNOWN_UD = 12_345

/** Says how to do what steps alone don't tell. */
export interface Hints {
  /** Ring that a receive request with this user_data is submitted to. */
  ringFor?(play: Play, ud: number): number
  /** Instance that it names. */
  handleFor?(play: Play, ud: number): Handle | null
  /** Completions of the nth collection, from 1, where they come in rounds that no step tells of; null for a plain one. */
  collect?(play: Play, nth: number): Seen[] | null
}

/** Does one act and compares what comes back. */
export class Stepper {
  readonly #play: Play
  readonly #hints: Hints
  readonly #undetermined: boolean
  /** The ring that notes point to, 0 when none does. */
  #noted = 0
  /** Something was sent that nobody has waited for: in an undetermined scenario TCP may hold a part of it back. */
  #waiting = false

  constructor(play: Play, hints: Hints, undetermined: boolean) {
    this.#play = play
    this.#hints = hints
    this.#undetermined = undetermined
  }

  run(act: Act): void {
    const { step } = act
    const play = this.#play
    const where = `${act.kind} ${(play.done.get(act.kind) ?? 0) + 1}`
    switch (act.kind) {
      case 'collect':
        this.#collect(act, where)
        break
      case 'send':
        this.#waiting = true
        play.expect(
          `${where}, ret`,
          step.ret,
          play.send(numberOf(step, 'stream', 1), numberOf(step, 'len', 0)),
        )
        break
      case 'send_many': {
        this.#waiting = true
        const { calls, sent } = play.sendMany(
          numberOf(step, 'stream', 1),
          numberOf(step, 'total', 0),
          numberOf(step, 'each', 1),
        )
        play.expect(`${where}, calls`, step.calls, calls)
        play.expect(`${where}, sent`, step.sent, sent)
        break
      }
      case 'submit':
        this.#submit(step, where)
        break
      case 'cancel':
        this.#cancel(step, where)
        break
      case 'SYNC_CANCEL':
        play.expect(where, step.ret, this.#syncCancel())
        break
      case 'nic':
        this.#nic(step, where)
        break
      case 'refill': {
        const handle = this.#refillHandle(step)
        play.marks.set('later', play.seen.length)
        if (play.route === 'dev') play.marks.set('dropped before refill', play.machine.device.dropped)
        play.refill(
          numberOf(step, 'niov', 0),
          numberOf(step, 'len', handle.instance.bufferBytes),
          numberOf(step, 'area', 0),
          handle,
        )
        break
      }
      case 'FLUSH_RQ':
        this.#flush(step, where)
        break
      case 'rq':
        this.#rq(step, where)
        break
      case 'fionread':
        this.#fionread(step, where)
        break
      case 'ring': {
        const state = play.ring(this.#ring()).state()
        // Rings of Linux are set up with IORING_SETUP_TASKRUN_FLAG, the recorder's were not.
        for (const [key, value] of Object.entries(step))
          if (key !== 'ring' && !(play.isLinux && key === 'sq_flag_TASKRUN'))
            play.expect(`${where} (${String(step.ring)}), ${key}`, value, state[key])
        break
      }
      case 'enter': {
        const min = /min (\d+)/.exec(String(step.do))
        play.expect(where, step.ret, play.ring(this.#ring()).enter(min === null ? 0 : Number(min[1])))
        break
      }
      case 'stats':
        this.#stats(step, where)
        break
      case 'note':
        this.#note(String(step.note))
        break
      case 'peer close':
        play.end(this.#peer(), 'fin')
        break
      case 'peer reset':
        play.end(this.#peer(), 'reset')
        break
      case 'peer SHUT_WR':
        play.end(this.#peer(), 'shutdown')
        break
      case 'close(socket fd)':
        play.machine.close(play.connection().server)
        break
      case 'recv(2)': {
        const { ret, ok } = play.recv(1, Math.max(PAGE, numberOf(step, 'ret', 0)))
        play.expect(where, step.ret, ret)
        if (ret > 0 && !ok) play.differs(`${where}, bytes`, true, false)
        break
      }
      case 'ARM_EVENT':
      case 'ARM_EVENT resv':
        play.expect(where, step.ret, this.#arm(step, act.kind.endsWith('resv')))
        break
      case 'EXPORT':
        this.#export(step, where)
        break
      case 'IMPORT':
        this.#import(step, where)
        break
      case 'ADD_AREA': {
        // What was dropped for want of buffers comes again now, in TCP's time.
        if (play.route === 'dev') {
          play.marks.set('later', play.seen.length)
          play.marks.set('dropped before refill', play.machine.device.dropped)
        }
        const added = addArea(play.handle(this.#ring()), play.memory, addedPages(play.scenario))
        play.expect(`${where}, ret`, step.ret, added.ret)
        play.expect(`${where}, token`, step.token, hex(added.area.big('rq_area_token')))
        break
      }
      case 'close(export fd)':
        play.closeExported()
        break
      case 'ring closed': {
        const number = Number(/\d+/.exec(String(step.do))![0])
        play.ring(number).close()
        if (this.#noted === number) this.#noted = 0
        break
      }
      case 'probe':
        this.#probe(act, where)
        break
      case 'poll':
        this.#poll(step, where)
        break
      default:
        throw new NoTranslation(`step ${JSON.stringify(step)}`)
    }
  }

  /** The ring that acts without one of their own are about. */
  #ring(): number {
    const { rings } = this.#play
    return rings.get(this.#noted)?.open ? this.#noted : this.#play.openRing
  }

  #ringFor(ud: number): number {
    const play = this.#play
    const hinted = this.#hints.ringFor?.(play, ud)
    if (hinted !== undefined) return hinted
    return play.rings.get(ud)?.open ? ud : play.openRing
  }

  #submit(step: JsonObject, where: string): void {
    const play = this.#play
    const text = String(step.do)
    const ud = numberOf(step, 'ud', 1)
    const words = /->/.test(text) ? /(?:limit|len)(?: of)? (\d+)/.exec(play.scenario.what) : null
    const limit = numberOf(step, 'len', Number((/len (\d+)/.exec(text) ?? words)?.[1] ?? 0))
    const count = Number(/submit (\d+) RECV_ZC/.exec(text)?.[1] ?? 1)
    const ring = this.#ringFor(ud)
    const hinted = this.#hints.handleFor?.(play, ud)
    const handle = hinted === undefined ? (play.handles.get(ring)?.[0] ?? null) : hinted
    const connection = play.connectionFor(ud)
    const target = play.ring(ring)
    for (let i = 0; i < count; i++) {
      const { sqe } = target.sqe()
      sqe.prepRecvZc(connection.server, handle?.id ?? 0, limit).setData(ud)
      if (text.includes('POLL_FIRST'))
        sqe.setIoprio(abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST)
      if (text.includes('SKIP_SUCCESS')) sqe.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS)
      if (/LINK|->/.test(text))
        sqe.setFlags(text.includes('HARDLINK') ? abi.IOSQE_IO_HARDLINK : abi.IOSQE_IO_LINK)
      play.requests.set(ud, { ud, handle, connection, limit: limit * count, received: 0 })
    }
    if (text.includes('LINK_TIMEOUT')) {
      const ms = Number(/(\d+) ms/.exec(play.scenario.what)?.[1] ?? 50)
      target
        .sqe()
        .sqe.prepLinkTimeout(this.#timespec(ms * 1000))
        .setData(LINKED_TIMEOUT_UD)
    }
    if (/-> ?NOP/.test(text)) target.sqe().sqe.prepNop().setData(LINKED_NOP_UD)
    if (/-> ?RECV_ZC/.test(text)) {
      target
        .sqe()
        .sqe.prepRecvZc(connection.server, handle?.id ?? 0, limit)
        .setData(2)
      play.requests.set(2, { ud: 2, handle, connection, limit, received: 0 })
    }
    play.expect(where, step.ret, target.submit())
  }

  #timespec(us: number): Uint8Array {
    const bytes = abi.timespecOf(us)
    this.#play.memory.address(bytes)
    return bytes
  }

  #cancel(step: JsonObject, where: string): void {
    const play = this.#play
    const flags = numberOf(step, 'cancel_flags', 0)
    const unknown = /not_found|unknown/.test(`${play.scenario.name} ${play.scenario.what}`)
    const ring = play.ring(this.#ringFor(1))
    const { sqe } = ring.sqe()
    if ((flags & abi.IORING_ASYNC_CANCEL_FD) !== 0) sqe.prepCancelFd(play.connection().server, flags)
    else sqe.prepCancel(unknown ? UNKNOWN_UD : 1, flags)
    sqe.setData(numberOf(step, 'ud', 200))
    play.expect(where, step.ret, ring.submit())
  }

  #syncCancel(): number {
    const play = this.#play
    const reg = new abi.SyncCancelReg(new Uint8Array(abi.SyncCancelReg.SIZE))
    reg.addr = 1
    return play.ring(this.#ring()).register(abi.IORING_REGISTER_SYNC_CANCEL, reg.bytes, 1)
  }

  #refillHandle(_step: JsonObject): Handle {
    return this.#play.handle(this.#ring())
  }

  #flush(step: JsonObject, where: string): void {
    const play = this.#play
    const handle = play.handle(this.#ring())
    const { instance } = handle
    play.expect(`${where}, ret`, step.ret, play.flush(handle))
    play.expect(`${where}, rq_head_after`, step.rq_head_after, instance.head)
    play.expect(`${where}, rq_tail`, step.rq_tail, instance.sharedTail)
  }

  /** What the NIC has counted. Segments that came twice, and drops of such, are TCP's. */
  #nic(step: JsonObject, where: string): void {
    const play = this.#play
    const nic = play.machine.device
    const { result } = play.scenario
    const dropped = nic.dropped > 0
    const sent = [...play.connections.values()].reduce((sum, connection) => sum + connection.sent, 0)
    // Nothing is missing in the record: what was dropped there had come before.
    const complete = numberOf(result, 'bytes', -1) === sent
    if (step.drops_positive === false || !complete)
      play.expect(`${where}, drops_positive`, step.drops_positive, dropped)
    const packets = numberOf(step, 'packets_with_netmem', -1)
    const again = step.drops_positive === true || packets > numberOf(result, 'data_cqes', packets)
    if (packets >= 0 && !again) play.expect(`${where}, packets_with_netmem`, packets, nic.split)
    else if (packets >= 0) play.notCompared[`step ${where}`] = 'TCP decides what is sent again'
  }

  #rq(step: JsonObject, where: string): void {
    if (/after refill/.test(String(step.rq))) this.#play.marks.set('later', this.#play.seen.length)
    const { instance } = this.#play.handle(this.#ring())
    this.#play.expect(`${where} (${String(step.rq)}), head`, step.head, instance.head)
    this.#play.expect(`${where} (${String(step.rq)}), tail`, step.tail, instance.sharedTail)
  }

  #fionread(step: JsonObject, where: string): void {
    // What TCP still holds back of many small sends is TCP's.
    const play = this.#play
    if (this.#undetermined && this.#waiting) {
      play.notCompared[`step ${where}`] = 'TCP may hold back some of many small sends'
      return
    }
    const got = play.machine.fionread(play.connection().server)
    play.expect(where, step.fionread, got)
  }

  #stats(step: JsonObject, where: string): void {
    const play = this.#play
    const stats = play.handles.get(1)?.[0]?.instance.stats() ?? null
    play.expect(`${where} (${String(step.stats)}), copy_count`, step.copy_count, stats?.copy_count)
    play.expect(`${where} (${String(step.stats)}), copy_bytes`, step.copy_bytes, stats?.copy_bytes)
  }

  #note(note: string): void {
    if (/without netmem/.test(note)) this.#play.machine.device.place({ whole: true })
    const ring = /\bring (\d)\b(?! got)/.exec(note.replace(/ring \d got/g, ''))
    if (ring !== null) this.#noted = Number(ring[1])
  }

  /** Whose peer acts: the connection that was sent to last, or the only one. */
  #peer(): number {
    return 1
  }

  #arm(step: JsonObject, reserved: boolean): number {
    const { ring, id } = this.#play.handle(this.#ring())
    const struct = ctrl(id, CTRL_OP.ARM_EVENT)
    struct.set('zc_arm.event_type', numberOf(step, 'event_type', 0))
    if (reserved) struct.set('zc_arm.__resv[0]', 1)
    return control(ring, struct)
  }

  #export(step: JsonObject, where: string): void {
    const { ring, id } = this.#play.handle(this.#ring())
    const struct = ctrl(id, CTRL_OP.EXPORT)
    const ret = control(ring, struct)
    this.#play.returned.export.push(ret)
    this.#play.expect(`${where}, ret`, step.ret, ret)
    this.#play.expect(
      `${where}, got_fd`,
      step.got_fd,
      ret === 0 && this.#play.machine.isOpen(struct.get('zc_export.zcrx_fd')),
    )
    if (ret !== 0) return
    this.#play.exported.add(struct.get('zc_export.zcrx_fd'))
    this.#play.marks.set('exported fd', struct.get('zc_export.zcrx_fd'))
  }

  #import(step: JsonObject, where: string): void {
    const play = this.#play
    const fd = play.marks.get('exported fd')
    if (fd === undefined) throw new NoTranslation('IMPORT without EXPORT')
    const { ret, reg } = importInstance(play, 2, fd)
    play.expect(`${where}, ret`, step.ret, ret)
    play.expect(`${where}, zcrx_id`, step.zcrx_id, reg.get('zcrx_id'))
    play.returned.import.push(ret)
    play.imported = {
      two_exports_give_two_fds: play.exported.size === 2,
      ret,
      reg: {
        if_idx_unchanged: reg.big('if_idx') === reg.was('if_idx'),
        if_rxq: reg.get('if_rxq'),
        rq_entries: reg.get('rq_entries'),
        flags: reg.get('flags'),
        area_ptr: reg.get('area_ptr'),
        region_ptr: reg.get('region_ptr'),
        offsets: [reg.get('offsets.head'), reg.get('offsets.tail'), reg.get('offsets.rqes')],
        zcrx_id: reg.get('zcrx_id'),
        rx_buf_len: reg.get('rx_buf_len'),
      },
    }
  }

  #collect(act: Act, where: string): void {
    const play = this.#play
    const ring = this.#collectRing(act)
    const target = play.ring(ring)
    const seen =
      this.#hints.collect?.(play, (play.done.get('collect') ?? 0) + 1) ??
      play.note(ring, act.only ? target.reap() : target.drain(act.quietMs))
    compareCompletions(play, where, act.listed, seen, this.#undetermined)
    const { cqes } = act.step
    const again = play.marks.has('segments came again')
    if (typeof cqes === 'number' && !this.#undetermined && !again)
      play.expect(`${where}, cqes`, cqes, seen.length)
    if (!act.only) this.#waiting = false
  }

  /** The ring whose requests the completions name, or the one noted. */
  #collectRing(act: Act): number {
    const first = act.listed.find((one) => isObject(one as Json)) as JsonObject | undefined
    const ud = first === undefined ? FIRST_OTHER_UD : numberOf(first, 'ud', FIRST_OTHER_UD)
    const request = this.#play.requests.get(ud)
    const ring = request?.handle === null ? undefined : this.#play.ringOf(request?.handle)
    return ud < FIRST_OTHER_UD && ring !== undefined ? ring : this.#ring()
  }

  #probe(act: Act, where: string): void {
    const play = this.#play
    const { step } = act
    const final = act.listed.find((one) => one !== 'gap')
    const ud = final === undefined ? 2 : numberOf(final as JsonObject, 'ud', 2)
    const connection = play.connection(ud)
    const ring = this.#probeRing()
    const handle = play.handle(ring)
    play.sendMany(ud, numberOf(step, 'sent_pages', 8) * PAGE, PAGE)
    play.receive(ud, { connection, handle })
    const before = play.heldCount()
    const seen = play.note(ring, play.ring(ring).drain(120))
    const obtained = seen.filter((one) => one.data).map((one) => one.niov)
    const others = seen.filter((one) => !one.data)
    compareCompletions(play, where, act.listed, others, false)
    const dataOk = seen.every((one) => !one.data || one.dataOk)
    play.expect(`${where}, data_ok`, step.data_ok, dataOk)
    const total = handle.instance.areas.reduce(
      (sum, area) => sum + area.length / handle.instance.bufferBytes,
      0,
    )
    if (this.#undetermined) play.expect(`${where}, count`, total - before, obtained.length)
    else {
      play.expect(`${where}, niovs_obtained`, step.niovs_obtained, obtained)
      play.expect(`${where}, count`, step.count, obtained.length)
    }
    play.result[String(step.probe)] = { niovs: obtained, count: obtained.length, data_ok: dataOk }
  }

  #probeRing(): number {
    return this.#ring()
  }

  /** poll(2) of the ring's descriptor: POLLIN when a completion waits, or work whose running would bring one. */
  #poll(step: JsonObject, where: string): void {
    const revents = this.#play.ring(this.#ring()).poll()
    this.#play.expect(`${where}, ready`, step.poll, revents === 0 ? 0 : 1)
    this.#play.expect(`${where}, revents`, step.revents, revents)
  }
}
