import type { IpAddress } from '../../address.ts'

/** A way to a part of the Internet. */
export interface Route {
  /** Whose first `prefixLength` bits the destinations have; `0.0.0.0` or `::` with 0 is the default route. */
  readonly prefix: IpAddress
  readonly prefixLength: number
  /** Next hop, of the same version; null = the destinations are on the link. */
  readonly gateway: IpAddress | null
  /** Bytes of an IP packet; 0 = the interface's. */
  readonly mtu: number
}

/** A routing table of one interface: the longest prefix decides. */
export class Routes {
  /** Longest prefix first; of equal ones the given goes before the host's. */
  #routes: readonly Route[] = []
  #given: readonly Route[] = []
  #host: readonly Route[] = []

  /** Every route, longest prefix first. */
  get all(): readonly Route[] {
    return this.#routes
  }

  /** Adds a route; one to the same prefix is replaced. */
  add(route: Route): void {
    this.#given = [
      ...this.#given.filter((other) => !samePrefix(other, route.prefix, route.prefixLength)),
      route,
    ]
    this.#merge()
  }

  /** Takes away the route that `add` made to a prefix. */
  remove(prefix: IpAddress, prefixLength: number): void {
    this.#given = this.#given.filter((other) => !samePrefix(other, prefix, prefixLength))
    this.#merge()
  }

  /** The routes of the host's kernel, in the place of those it had before. Given ones go before them. */
  setHost(routes: readonly Route[]): void {
    this.#host = routes
    this.#merge()
  }

  /** The route to an address, null when there is none. */
  find(address: IpAddress): Route | null {
    for (const route of this.#routes) if (address.within(route.prefix, route.prefixLength)) return route
    return null
  }

  /** Whether any route of a version is known: without one, everything counts as on the link. */
  has(version: number): boolean {
    return this.#routes.some((route) => route.prefix.version === version)
  }

  #merge(): void {
    this.#routes = [...this.#given, ...this.#host].sort((a, b) => b.prefixLength - a.prefixLength)
  }
}

function samePrefix(route: Route, prefix: IpAddress, prefixLength: number): boolean {
  return (
    route.prefixLength === prefixLength &&
    route.prefix.version === prefix.version &&
    prefix.within(route.prefix, prefixLength)
  )
}
