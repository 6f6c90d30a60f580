/** What each cause of a drop means, in words. Causes not listed are shown by their name alone. */
const MEANINGS: Record<string, string> = {
  rx_dropped: 'the interface dropped packets before the kernel took them',
  TCPRcvQDrop: 'the receive queue of a socket was full',
  TCPBacklogDrop: 'the backlog of a busy socket was full',
  RcvPruned: 'the kernel ran out of receive memory',
  OfoPruned: 'the kernel threw away segments that were out of order, to save memory',
  ListenDrops: 'a connection request was dropped',
}

/** Causes that have happened, most frequent first, each with what it means. */
export function explainDrops(
  drops: Readonly<Record<string, number>>,
): { cause: string; count: number; meaning: string }[] {
  return Object.entries(drops)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([cause, count]) => ({ cause, count, meaning: MEANINGS[cause] ?? '' }))
}
