import type { LinkFacts } from './link.ts'
import type { MachineFacts } from './machine.ts'

/** What is asked of an interface. */
export interface Wanted {
  /** Interface name; of `raw` the address. */
  readonly name: string
  /** First receive queue, and how many; 0 for all there are, of `linux:`. */
  readonly queue: number
  readonly queues: number
  readonly mode: 'auto' | 'native' | 'generic'
  readonly copy: 'auto' | 'copy' | 'zerocopy'
  /** Path of a network namespace. */
  readonly netns: string | undefined
  /** Bytes of the largest area that is to be received into. */
  readonly areaBytes: number
  /** TCP ports that are to come to the queue of `linux:`; default none in particular. */
  readonly ports?: readonly number[]
}

/** Everything that the checks look at: gathered before, so that they only think. */
export interface Facts {
  readonly machine: MachineFacts
  readonly wanted: Wanted
  /** Null when there is no addon to ask with. */
  readonly link: LinkFacts | { readonly missing: string } | null
}

/** The interface, when it is there. */
export function presentLink({ link }: Facts): LinkFacts | null {
  return link === null || 'missing' in link ? null : link
}
