/** What an examination finds, and which way in follows from it. */

/** The ways in that checks speak of, best first. */
export const CHECKED_WAYS = ['xdp zero-copy', 'xdp native', 'xdp generic', 'packet', 'raw', 'tap'] as const
/** One of those, or the name of a device that there is one way to open. */
export type WayName = (typeof CHECKED_WAYS)[number] | (string & {})

/** Those over AF_XDP. */
export const XDP_WAYS: readonly WayName[] = ['xdp zero-copy', 'xdp native', 'xdp generic']
export const NATIVE_WAYS: readonly WayName[] = ['xdp zero-copy', 'xdp native']

/** What one check saw, before it is known which way is taken. */
export interface Observation {
  /** Name of the check. */
  readonly check: string
  /** What is there, in a few words. */
  readonly found: string
  /** The ways that this closes. */
  readonly closes?: readonly WayName[]
  /** The ways that are open, but poorer for it. */
  readonly hampers?: readonly WayName[]
  /** It is as wanted, or chosen so: closed ways are no loss. */
  readonly meant?: boolean
  /** What is lost. */
  readonly cost?: string
  /** A command that would change it. */
  readonly fix?: string
}

/**
 * `ok`: as it should be. `note`: worth knowing, costs the chosen way nothing. `costs`: a better way is closed, or the chosen one is
 * poorer for it. `blocks`: nothing can be opened, and this is in the way of what is nearest to it.
 */
export type Status = 'ok' | 'note' | 'costs' | 'blocks'

/** What one check of the machine or a device came to. */
export interface Finding {
  /** What was looked at, in a word or two. */
  readonly check: string
  /** How much it matters. */
  readonly status: Status
  /** What was found, for people. */
  readonly found: string
  /** What it costs; absent with `ok`. */
  readonly cost?: string
  /** A command that would change it. */
  readonly fix?: string
}

/** One way and whether it is open. */
export interface Way {
  /** `xdp`, `packet`, `raw`, `tap`, `memory`, `pcap`. */
  readonly driver: string
  /** `native zero-copy`, `native copy`, `generic copy`; for the others what `NicInfo.mode` begins with. */
  readonly mode: string
  /** A device string that takes exactly this way; `raw:` in the interface's namespace. */
  readonly device: string
  /** It works as the machine is now. */
  readonly open: boolean
  /** What closes it; empty when it is open. */
  readonly reasons: readonly string[]
}

/** A way that might be taken: the best first. */
export interface Candidate extends Pick<Way, 'driver' | 'mode' | 'device'> {
  readonly name: WayName
}

export interface Judgement {
  readonly chosen: Way | null
  readonly findings: Finding[]
  readonly ways: Way[]
}

/** Chooses the first way that nothing closes, and says what each observation means for it. */
export function judge(candidates: readonly Candidate[], observations: readonly Observation[]): Judgement {
  const closing = (name: WayName): Observation[] =>
    observations.filter(({ closes }) => closes?.includes(name) === true)
  const ways = candidates.map(({ name, ...way }): Way => {
    const reasons = closing(name).map(({ check, found }) => `${check}: ${found}`)
    return { ...way, open: reasons.length === 0, reasons }
  })
  const at = ways.findIndex(({ open }) => open)
  const taken = candidates[at]?.name
  const better = candidates.slice(0, at < 0 ? candidates.length : at).map(({ name }) => name)
  // When nothing is open: the ways that the least is missing for.
  const least = Math.min(...ways.map(({ reasons }) => reasons.length))
  const nearest = new Set(
    candidates.filter((_, i) => ways[i]!.reasons.length === least).map(({ name }) => name),
  )
  const findings = observations.map((observation): Finding => {
    const { check, found, cost, fix } = observation
    const status = statusOf(observation, taken, better, nearest)
    return {
      check,
      status,
      found,
      ...(status === 'ok' || cost === undefined ? {} : { cost }),
      ...(status === 'ok' || fix === undefined || fix === '' ? {} : { fix }),
    }
  })
  return { chosen: ways[at] ?? null, findings, ways }
}

function statusOf(
  { closes = [], hampers = [], meant = false, cost }: Observation,
  taken: WayName | undefined,
  better: readonly WayName[],
  nearest: ReadonlySet<WayName>,
): Status {
  if (meant) return 'note'
  if (taken === undefined && closes.some((name) => nearest.has(name))) return 'blocks'
  if (closes.some((name) => better.includes(name))) return 'costs'
  if (taken !== undefined && hampers.includes(taken)) return 'costs'
  return closes.length > 0 || hampers.length > 0 || cost !== undefined ? 'note' : 'ok'
}
