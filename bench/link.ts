import type { LinkEnd, NetworkPair } from '../daemon/netns.ts'
import { LineChild } from './line-child.ts'

/** The most that a TAP device takes. */
const TAP_MTU = 65_521

/** Starts a program at an end of the link. */
export type Start = (end: LinkEnd, command: string, ...args: string[]) => LineChild

/** Uses a fresh link and programs at its ends, which are gone afterwards, also when the process is told to end meanwhile. */
export async function withLink<Result>(
  pair: NetworkPair,
  use: (start: Start) => Promise<Result>,
): Promise<Result> {
  const children: LineChild[] = []
  const remove = (): void => {
    for (const child of children) child.end()
    pair.remove()
  }
  process.once('exit', remove)
  try {
    return await use((end, command, ...args) => {
      const child = new LineChild(end, command, args)
      children.push(child)
      return child
    })
  } finally {
    process.off('exit', remove)
    remove()
  }
}

/** The far end of a link's TAP device, for whoever is at the receiving end. @param mtu of the veth pair beside it */
export function tapDevice({ tap, sender }: NetworkPair, mtu: number): string {
  return `tap:${tap.device}?mtu=${Math.min(mtu, TAP_MTU)}&netns=${sender.namespace}`
}
