declare module 'ip-packet' {
  interface State {
    start: number
    end: number
    buffer: Buffer | null
  }
  interface Packet {
    version: number
    ihl: number
    dscp?: number
    ecn?: number
    length?: number
    identification: number
    flags: number
    fragmentOffset: number
    ttl: number
    protocol: number
    sourceIp: string
    destinationIp: string
    checksum: number
    data: Buffer
  }
  export function preencode(state: State, packet: Packet): void
  export function encode(state: State, packet: Packet): void
  export function decode(state: State): Packet
  export function checksum(packet: Buffer): number
}
