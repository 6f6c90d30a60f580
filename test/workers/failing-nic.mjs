// A NIC for a worker's thread that does what it is told by a word of shared memory: what becomes of a worker is to be seen.
import { openNic as openShared } from '../../dist/driver/memory/shared-link.js'

const kept = []

const faults = {
  'a receive that throws': () => {
    throw new Error('receive failed on purpose')
  },
  'a callback that throws': () => {
    setImmediate(() => {
      throw new Error('thrown on purpose')
    })
  },
  'a rejection': () => {
    void Promise.reject(new Error('rejected on purpose'))
  },
  'a full heap': () => {
    for (;;) kept.push(new Array(10_000).fill(kept.length))
  },
  'an exit': () => process.exit(3),
}

export const FAULTS = Object.keys(faults)

export function openNic({ ends, fault }, index) {
  const nic = openShared(ends, index)
  const receive = nic.receive.bind(nic)
  nic.receive = (burst) => {
    const told = index === 0 ? Atomics.exchange(fault, 0, 0) : 0
    if (told > 0) faults[FAULTS[told - 1]]()
    return receive(burst)
  }
  return nic
}
