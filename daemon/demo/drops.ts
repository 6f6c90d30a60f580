/** What each cause of a drop means, in words. Causes not listed are shown by their name alone. */
const MEANINGS: Record<string, string> = {
  // In front of the stack, counted by the device or the kernel.
  nicRingFull: 'the receive ring was full: packets came faster than they were taken',
  nicFillEmpty: 'no free buffer lay in the fill ring',
  nicDropped: 'the device or the kernel dropped it before the ring, for another reason',
  nicInvalid: 'a descriptor was not valid',
  // In the stack.
  malformed: 'too short for its headers, or its lengths contradict each other',
  notForUs: 'another hardware or IP address',
  protocol: 'a protocol that is not spoken here',
  fragment: 'an IPv4 fragment',
  ipChecksum: 'wrong IPv4 header checksum',
  tcpChecksum: 'wrong TCP checksum',
  tcpOptions: 'malformed TCP options',
  noSocket: 'no connection and no listener: answered with a reset',
  outOfWindow: 'outside the receive window: answered with an acknowledgement',
  duplicate: 'everything in it had been received before',
  paws: 'an old segment, by its timestamp (PAWS)',
  badAck: 'it acknowledges what was never sent, or is too old',
  noMemory: 'no buffer to spare',
  reassemblyLimit: 'more holes in the stream than one connection may have',
  backlog: 'too many connections wait to be accepted',
  afterShutdown: 'data after the application had closed',
  // In Linux's stack.
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
