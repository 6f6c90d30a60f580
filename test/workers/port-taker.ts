/** A thread that takes ports, waits for somebody to note the answer to each, and gives them back; and notes others' answers. */
import { parentPort, workerData } from 'node:worker_threads'
import { answerMark, SharedPorts } from '../../stack/siblings/shared-ports.ts'

export interface TakerTask {
  readonly ports: SharedArrayBuffer
  readonly index: number
  /** A round is a port taken and given back. */
  readonly rounds: number
  /** Ports that all fight for: the first so many behind `FIRST`. */
  readonly contested: number
  /** Of `Referee`. */
  readonly referee: SharedArrayBuffer
}

export interface TakerReport {
  /** Times that a port was had by two. */
  readonly shared: number
  /** Times that one was not to be had. */
  readonly refused: number
  /** Answers noted for others, and those of one's own that others noted. */
  readonly noted: number
  readonly elsewhere: number
  /** Ports still taken. */
  readonly left: number
}

export const FIRST = 49_152
/** After so many milliseconds a taker gives up, and reports what it has. */
const PATIENCE_MS = 20_000

/** What the threads agree on beside `SharedPorts`: who holds a port, the acknowledgment number it waits for, and who is done. */
class Referee {
  readonly holders: Int32Array
  readonly acks: Int32Array
  readonly done: Int32Array

  constructor(memory: SharedArrayBuffer, contested: number) {
    this.holders = new Int32Array(memory, 4, contested)
    this.acks = new Int32Array(memory, 4 + 4 * contested, contested)
    this.done = new Int32Array(memory, 0, 1)
  }
}

export function refereeMemory(contested: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 + 8 * contested)
}

const markOf = (ack: number): number => answerMark(0, 0, 0xffff, 1, 80, ack)

function run({ ports: memory, index, rounds, contested, referee }: TakerTask, threads: number): TakerReport {
  const ports = new SharedPorts(memory, index)
  const { holders, acks, done } = new Referee(referee, contested)
  let shared = 0
  let refused = 0
  let noted = 0
  let elsewhere = 0
  const noteOthers = (): void => {
    for (let at = 0; at < contested; at++) {
      // As in a segment that came: read before whose the port is.
      const ack = Atomics.load(acks, at)
      const sibling = ports.sibling(FIRST + at)
      if (sibling >= 0 && ports.note(FIRST + at, sibling, markOf(ack))) noted++
    }
  }
  const end = performance.now() + PATIENCE_MS
  for (let round = 0, next = index; round < rounds && performance.now() < end; next++) {
    const at = next % contested
    const port = FIRST + at
    if (!ports.take(port)) {
      refused++
      noteOthers()
      continue
    }
    round++
    if (Atomics.add(holders, at, 1) !== 0) shared++
    // No number twice.
    const ack = round * threads + index
    Atomics.store(acks, at, ack)
    ports.expect(port, markOf(ack))
    while (performance.now() < end) {
      noteOthers()
      if (!ports.news() || !ports.cameElsewhere(port)) continue
      elsewhere++
      break
    }
    ports.forget(port)
    Atomics.sub(holders, at, 1)
    ports.release(port)
  }
  Atomics.add(done, 0, 1)
  // The last ones wait for somebody who notes.
  while (Atomics.load(done, 0) < threads && performance.now() < end) noteOthers()
  return { shared, refused, noted, elsewhere, left: ports.count }
}

if (parentPort !== null && workerData?.task !== undefined) {
  const { task, threads } = workerData as { task: TakerTask; threads: number }
  parentPort.once('message', () => parentPort!.postMessage(run(task, threads)))
  parentPort.postMessage('ready')
}
