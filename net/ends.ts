/** One end of a connection: an address as text, and a port in host order. */
export interface IpEnd {
  readonly address: string
  readonly port: number
}
