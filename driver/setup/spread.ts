/**
 * The table of receive-side scaling (RSS): a hash of addresses and ports chooses an entry, which names the queue. Here is what
 * `ethtool -X` would make of it.
 */

/** The queues that the table sends to, in order. */
export function queuesOf(table: readonly number[]): number[] {
  return [...new Set(table)].sort((a, b) => a - b)
}

/** Whether it is the one that a driver begins with: all queues in turn. */
export function isDefault(table: readonly number[], queues: number): boolean {
  return queues > 0 && table.every((queue, i) => queue === i % queues)
}

/** A table of `length` entries that spreads over these queues, as `spreadCommand` makes it. @param queues in order, at least one */
export function spreadOver(length: number, queues: readonly number[]): number[] {
  if (fromZero(queues)) return Array.from({ length }, (_, i) => queues[i % queues.length]!)
  // In blocks, as ethtool(8) cuts them by weight.
  const end = (block: number): number => Math.floor((length * (block + 1)) / queues.length)
  let block = 0
  return Array.from({ length }, (_, i) => {
    while (i >= end(block)) block++
    return queues[block]!
  })
}

/** A table that sends to the queues it had, without one of them; null when there is no other. */
export function withoutQueue(table: readonly number[], queue: number): number[] | null {
  const others = queuesOf(table).filter((other) => other !== queue)
  return others.length === 0 ? null : spreadOver(table.length, others)
}

/** The command that spreads over these queues. */
export function spreadCommand(device: string, queues: readonly number[]): string {
  if (fromZero(queues)) return `ethtool -X ${device} equal ${queues.length}`
  const weights = Array.from({ length: Math.max(...queues) + 1 }, (_, i) => (queues.includes(i) ? 1 : 0))
  return `ethtool -X ${device} weight ${weights.join(' ')}`
}

/** The queues from 0 on, none left out. */
function fromZero(queues: readonly number[]): boolean {
  return queues.every((queue, i) => queue === i)
}
