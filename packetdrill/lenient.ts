import type { TcpConfig } from '../stack/tcp/options.ts'

/** Differences that may be forgiven, each only when it is asked for by name; docs/packetdrill.md says what they mean. */
export const SWITCHES = [
  'syn-options-semantic',
  'win-ignored',
  'psh-ignored',
  'coalesce-out',
  'oversize-in',
  'ack-timing',
  'delayed-fin-ack-40ms',
  'dsack-optional',
  'window-edge',
  'state-query',
  'skip-code',
  'ignore-init',
  'skip-getsockopt-rcvbuf',
  'msg-peek',
  'retransmitted-syn-gets-synack',
  'no-timestamps',
  'no-window-scaling',
  'feature-switches',
  'mtu-config',
  'initial-rto-1s',
  'ts-tick-1ms',
  'challenge-ack-ratelimit-off',
] as const
export type Switch = (typeof SWITCHES)[number]

/** Other names of switches. */
const ALIASES: Readonly<Record<string, Switch>> = { 'quick-ack': 'ack-timing' }
/** What `all` stands for: how packets are compared, not how the stack is set up. */
const COMPARING: readonly Switch[] = SWITCHES.slice(0, SWITCHES.indexOf('no-timestamps'))
/** How much later an ACK may come. */
export const ACK_LATE_US = 500_000
const NO_LIMIT = 1_000_000_000

/** Switches of a list with commas; the name that is none as a string. */
export function switchesOf(list: string): Switch[] | string {
  const found = new Set<Switch>()
  for (const part of list.split(',').map((name) => name.trim())) {
    if (part === '') continue
    const name = Object.hasOwn(ALIASES, part) ? ALIASES[part]! : part
    if (name === 'all') for (const each of COMPARING) found.add(each)
    else if ((SWITCHES as readonly string[]).includes(name)) found.add(name as Switch)
    else return part
  }
  return [...found]
}

/** What switches change about the stack before the script runs. */
export function configOf(switches: ReadonlySet<Switch>): Map<Switch, Partial<TcpConfig>> {
  const changes = new Map<Switch, Partial<TcpConfig>>()
  if (switches.has('no-timestamps')) changes.set('no-timestamps', { timestamps: false })
  if (switches.has('no-window-scaling')) changes.set('no-window-scaling', { windowScaling: false })
  if (switches.has('challenge-ack-ratelimit-off'))
    changes.set('challenge-ack-ratelimit-off', { challengeAcksPerSecond: NO_LIMIT })
  return changes
}
