import type { Receiver } from '../../stack/tcp/receiver.ts'
import type { Sender } from '../../stack/tcp/sender.ts'
import type { Rig } from './rig.ts'

/** Where in the stack's lists a queue lies, which nothing depends on. */
const PLACES = new Set(['head', 'tail'])

/** The numbers and truths of an object, those that it computes as well. */
function stateOf(object: Receiver | Sender): string {
  const computed = Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object)))
    .filter(([, { get }]) => get !== undefined)
    .map(([key]): [string, unknown] => [key, object[key as keyof typeof object]])
  const values = [...Object.entries(object), ...computed].filter(
    ([key, value]) => (typeof value === 'number' || typeof value === 'boolean') && !PLACES.has(key),
  )
  // Two segments that are not acknowledged are as good as more.
  return values
    .map(([key, value]) => `${key} ${key === 'unacked' ? Math.min(2, Number(value)) : String(value)}`)
    .join('\n')
}

/** What a side says that its receive queues hold is what they hold. @throws Error */
export function expectCounted(rig: Rig, where: string): void {
  const { fragments, memory } = rig.stack
  if (memory.handed !== 0) throw new Error(`${where}: ${memory.handed} buffers are still being handed over`)
  if (rig.ifq.census().lost !== 0) throw new Error(`${where}: buffers are lost`)
  for (const [i, { rcv }] of rig.tcbs.entries()) {
    let bytes = 0
    let niovs = 0
    for (let node = rcv.head; node >= 0; node = fragments.next[node]!) {
      bytes += fragments.length[node]!
      niovs += fragments.weight[node]!
    }
    if (bytes !== rcv.queuedBytes || niovs !== rcv.niovs)
      throw new Error(
        `${where}: receiver ${i} holds ${bytes} bytes in ${niovs} buffers, and says ${rcv.queuedBytes} in ${rcv.niovs}`,
      )
  }
}

/** Says how the sides differ; nothing when they don't. @throws Error */
export function expectSame(one: Rig, other: Rig, where: string): void {
  const same = (what: string, a: unknown, b: unknown): void => {
    const [left, right] = [a, b].map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
    if (left === right) return
    const [lines, others] = [left!.split('\n'), right!.split('\n')]
    const at = lines.findIndex((line, i) => line !== others[i])
    throw new Error(
      `${where}: ${what}: ${lines[at] ?? 'nothing'}, and frame by frame ${others[at] ?? 'nothing'}`,
    )
  }
  const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')
  same('counters', textOf(one.stack.counters), textOf(other.stack.counters))
  same('frames sent', one.nic.sent.map(hex).join('\n'), other.nic.sent.map(hex).join('\n'))
  for (const key of new Set([...one.heard.keys(), ...other.heard.keys()])) {
    const [a, b] = [one, other].map(({ heard }) => (heard.get(key) ?? []).join('\n'))
    same(`completions ${key}`, a, b)
  }
  same('census', one.ifq.census(), other.ifq.census())
  same(
    'instance',
    one.ring.diagnostics!.ifqStats(one.ifq.zcrxId),
    other.ring.diagnostics!.ifqStats(other.ifq.zcrxId),
  )
  for (const [i, tcb] of one.tcbs.entries()) {
    const twin = other.tcbs[i]!
    same(
      `connection ${i}`,
      `${tcb.state} ${tcb.error} ${tcb.events}`,
      `${twin.state} ${twin.error} ${twin.events}`,
    )
    same(`receiver ${i}`, stateOf(tcb.rcv), stateOf(twin.rcv))
    same(`sender ${i}`, stateOf(tcb.snd), stateOf(twin.snd))
  }
}

function textOf(object: object): string {
  const values = Object.entries(object).filter(([, value]) => typeof value === 'number')
  return values.map(([key, value]) => `${key} ${String(value)}`).join('\n')
}
