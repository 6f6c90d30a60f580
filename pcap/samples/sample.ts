/** How a direction of a conversation ends, as `StreamReport.end` has it. */
export type SampleEnd = 'fin' | 'rst' | 'none'

/** What is in a capture of one conversation, in the order and with the ends that Wireshark gives them. */
export interface SampleConversation {
  /** Who sent the first packet that is there. */
  readonly client: string
  readonly server: string
  /** Payload bytes that the capture has, in order and once each, without words in the place of holes. */
  readonly clientBytes: number
  readonly serverBytes: number
  /** Payload bytes that were sent, but that the capture lacks. Default 0. */
  readonly clientMissing?: number
  readonly serverMissing?: number
  readonly clientEnd: SampleEnd
  readonly serverEnd: SampleEnd
  /** Payload bytes that were acknowledged behind the last one that is there. Wireshark does not mark them. Default 0. */
  readonly clientTail?: number
  readonly serverTail?: number
  /** What Wireshark shows otherwise, where it does not see what a host would. */
  readonly wireshark?: Partial<SampleConversation>
  /** No segment of it is there, and Wireshark has a number for it nevertheless. */
  readonly named?: boolean
}

export interface Sample {
  /** In this folder. */
  readonly file: string
  readonly title: string
  /** What is to be seen in it. */
  readonly shows: string
  /** Recorded from Linux, built packet by packet, or made of the recording named. */
  readonly made: 'recorded' | 'built' | `of ${string}`
  readonly packets: number
  readonly conversations: readonly SampleConversation[]
  /** Display filters of Wireshark, with the least number of packets that match. */
  readonly properties: readonly (readonly [filter: string, packets: number])[]
  /** The file ends within a record. */
  readonly cutShort?: boolean
}

export const SERVER = '192.0.2.2:80'
const SERVER6 = '[2001:db8::2]:80'

/** A conversation over IPv4 between the usual ends, closed by both. */
export function four(clientBytes: number, serverBytes = 0, port = 40_000): SampleConversation {
  const client = `192.0.2.1:${port}`
  return { client, server: SERVER, clientBytes, serverBytes, clientEnd: 'fin', serverEnd: 'fin' }
}

/** The same over IPv6. */
export function six(clientBytes: number, serverBytes = 0, port = 40_000): SampleConversation {
  const client = `[2001:db8::1]:${port}`
  return { client, server: SERVER6, clientBytes, serverBytes, clientEnd: 'fin', serverEnd: 'fin' }
}

/** Ends without a stream between them. */
export function silent(client: string): SampleConversation {
  return {
    client,
    server: client.startsWith('[') ? SERVER6 : SERVER,
    clientBytes: 0,
    serverBytes: 0,
    clientEnd: 'none',
    serverEnd: 'none',
  }
}

/** An attempt at a port where nobody listens. */
export function refused(port: number): SampleConversation {
  const ends = { client: `192.0.2.1:${port}`, server: '192.0.2.2:81' }
  return { ...ends, clientBytes: 0, serverBytes: 0, clientEnd: 'rst', serverEnd: 'rst' }
}
