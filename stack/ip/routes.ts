import type { IpAddress } from './address.ts'

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
  /** Longest prefix first. */
  readonly #routes: Route[] = []

  /** Every route, longest prefix first. */
  get all(): readonly Route[] {
    return this.#routes
  }

  /** Adds a route; one to the same prefix is replaced. */
  add(route: Route): void {
    const same = this.#routes.findIndex(
      ({ prefix, prefixLength }) =>
        prefixLength === route.prefixLength &&
        prefix.version === route.prefix.version &&
        route.prefix.within(prefix, prefixLength),
    )
    if (same >= 0) this.#routes.splice(same, 1)
    this.#routes.push(route)
    this.#routes.sort((a, b) => b.prefixLength - a.prefixLength)
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
}
