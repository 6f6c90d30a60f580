import type { Datagram, IpFragment } from './fragment-reassembly.ts'

/** Takes TCP segments behind an IP header; see `SegmentInput`. */
export interface SegmentTaker {
  input(tcp: number, tcpTotal: number, now: number): void
}

/** Takes fragments and shows whole datagrams; see `Assembled`. */
export interface FragmentTaker {
  add(fragment: IpFragment, now: number): Datagram | null
  begin(datagram: Datagram): number
  end(datagram: Datagram): void
}

/** Answers packets with ICMP; see `IcmpOutput`. */
export interface IcmpAnswers {
  load(): void
  echoReply(at: number, length: number, now: number): void
  error(type: number, code: number, info: number, ipAt: number, now: number, group?: boolean): void
  timeExceeded(type: number, code: number, datagram: Datagram, now: number): void
}
