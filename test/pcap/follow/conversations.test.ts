import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { SEGMENT, SegmentDecoder } from '../../../pcap/decode/segment.ts'
import { type Conversation, ConversationTable } from '../../../pcap/follow/conversations.ts'
import { ReportOrder, type StreamReport } from '../../../pcap/follow/report.ts'
import { ACK, FIN, RST, SYN } from '../../../stack/wire/tcp.ts'
import { ip4, ip6, tcpSegment } from '../../support/ip-frames.ts'
import { captured } from '../decode/frames.ts'

const A = IpAddress.parse('192.0.2.1')!
const B = IpAddress.parse('192.0.2.2')!
const A6 = IpAddress.parse('2001:db8::1')!
const B6 = IpAddress.parse('2001:db8::2')!

interface Spec {
  from?: IpAddress
  to?: IpAddress
  ports?: [number, number]
  flags?: number
  seq?: number
  ack?: number
}

function segmentOf({
  from = A,
  to = B,
  ports = [40_000, 80],
  flags = ACK,
  seq = 0,
  ack = 0,
}: Spec): SegmentDecoder {
  const [sourcePort, destinationPort] = ports
  const pair = { source: from, destination: to }
  const tcp = tcpSegment(from.version, { sourcePort, destinationPort, flags, seq, ack }, pair)
  const segment = new SegmentDecoder()
  const packet = from.version === 4 ? ip4(tcp, pair) : ip6(tcp, pair)
  expect(segment.decode(captured(packet))).toBe(SEGMENT)
  return segment
}

class Rig {
  readonly closed: number[] = []
  readonly table: ConversationTable<string>

  constructor(limit?: number) {
    this.table = new ConversationTable(
      (conversation) => `data of ${conversation.number}`,
      (conversation) => this.closed.push(conversation.number),
      limit,
    )
  }

  find(spec: Spec, now = 0): Conversation<string> {
    return this.table.find(segmentOf(spec), now)
  }

  /** Numbers of the conversations of segments. */
  numbers(...specs: Spec[]): number[] {
    return specs.map((spec) => this.find(spec).number)
  }
}

const back: Spec = { from: B, to: A, ports: [80, 40_000] }

describe('ConversationTable', () => {
  it('finds both directions, and says who sent', () => {
    const { table, ...rig } = new Rig()
    const find = (spec: Spec) => table.find(segmentOf(spec), 0)
    const first = find({ flags: SYN, seq: 5 })
    expect([first.number, table.side, first.client, first.data]).toEqual([0, 0, 0, 'data of 0'])
    expect([find({ ...back, flags: SYN | ACK, ack: 6 }), table.side]).toEqual([first, 1])
    expect([find({}), table.side]).toEqual([first, 0])
    expect([first.endpoint(0), first.endpoint(1)]).toEqual(['192.0.2.1:40000', '192.0.2.2:80'])
    expect([table.count, rig.closed]).toEqual([1, []])
  })

  it('takes who sent a SYN,ACK for the server', () => {
    const rig = new Rig()
    expect(rig.find({ ...back, flags: SYN | ACK, seq: 9, ack: 6 }).client).toBe(1)
    // The SYN that it answers, out of order: not another conversation.
    expect(rig.numbers({ flags: SYN, seq: 5 })).toEqual([0])
    expect(new Rig().find({ ...back }).client).toBe(0)
  })

  it('keeps ports, addresses and versions apart', () => {
    const rig = new Rig()
    const specs: Spec[] = [
      {},
      { ports: [40_001, 80] },
      { ports: [80, 40_000] },
      { to: IpAddress.parse('192.0.2.3')! },
      { from: A6, to: B6 },
      { from: A6, to: IpAddress.parse('2001:db8:0:1::2')! },
      { from: IpAddress.parse('::192.0.2.1')!, to: IpAddress.parse('::192.0.2.2')! },
    ]
    expect(rig.numbers(...specs, ...specs)).toEqual([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6])
    expect(rig.find({ from: B6, to: A6, ports: [80, 40_000] }).endpoint(0)).toBe('[2001:db8::1]:40000')
  })

  it('knows a connection to itself', () => {
    const rig = new Rig()
    const land: Spec = { from: A, to: A, ports: [80, 80] }
    expect(
      rig.numbers({ ...land, flags: SYN, seq: 1 }, { ...land, flags: SYN | ACK, seq: 1, ack: 2 }, land),
    ).toEqual([0, 0, 0])
    expect(rig.table.side).toBe(0)
  })

  it('begins another conversation with a SYN that is another one', () => {
    const rig = new Rig()
    expect(
      rig.numbers(
        { flags: SYN, seq: 5 },
        { flags: SYN, seq: 5 },
        { ...back, flags: SYN | ACK, seq: 100, ack: 6 },
        { flags: SYN, seq: 5 },
        { flags: FIN | ACK, seq: 6, ack: 101 },
        { flags: SYN, seq: 1005 },
        { seq: 1006, ack: 900 },
        back,
      ),
    ).toEqual([0, 0, 0, 0, 0, 1, 1, 1])
    expect(rig.closed).toEqual([0])
  })

  it('knows from what is acknowledged where the other side began', () => {
    const rig = new Rig()
    // The capture began behind the SYN, of which 6 is the next.
    expect(
      rig.numbers({ ...back, seq: 100, ack: 6 }, { flags: SYN, seq: 5 }, { flags: SYN, seq: 77 }),
    ).toEqual([0, 0, 1])
    // Not known from a segment without ACK.
    const other = new Rig()
    expect(other.numbers({ ...back, flags: RST, seq: 100, ack: 6 }, { flags: SYN, seq: 77 })).toEqual([0, 0])
  })

  it('says how far a SYN,ACK moves its sender’s numbers', () => {
    const rig = new Rig()
    rig.find({ flags: SYN, seq: 5 })
    // Of an earlier connection, late.
    rig.find({ ...back, seq: 1000, ack: 6 })
    expect(rig.table.rebased).toBe(0)
    rig.find({ ...back, flags: SYN | ACK, seq: 3000, ack: 6 })
    expect(rig.table.rebased).toBe(3000 - 999)
    rig.find({ ...back, seq: 3001, ack: 6 })
    expect(rig.table.rebased).toBe(0)
    rig.find({ ...back, flags: SYN | ACK, seq: 3000, ack: 6 })
    expect(rig.table.rebased).toBe(0)
  })

  const alive = [
    { flags: SYN, seq: 1000 },
    { ...back, flags: SYN | ACK, seq: 5000, ack: 1001 },
    { seq: 1001, ack: 5001 },
    { seq: 1007, ack: 5001 },
  ]
  const stray = { flags: SYN, seq: 77_777 }

  it('goes on with the live one behind a SYN that is only challenged', () => {
    const rig = new Rig()
    const challenge = { ...back, seq: 5001, ack: 1007 }
    expect(rig.numbers(...alive, stray, challenge, { seq: 1007, ack: 5001 }, stray)).toEqual([
      0, 0, 0, 0, 1, 0, 0, 1,
    ])
    expect(rig.closed).toEqual([])
    // The late copy of its own SYN is not another one's.
    expect(rig.numbers({ flags: SYN, seq: 1000 }, { flags: RST, seq: 1007 })).toEqual([0, 0])
    // After the reset it is taken up, and the live one is over.
    expect(rig.numbers(stray, { ...back, flags: SYN | ACK, seq: 9000, ack: 77_778 })).toEqual([1, 1])
    expect(rig.closed).toEqual([0])
    expect(rig.numbers({ seq: 77_778, ack: 9001 }, { ...back, seq: 9001, ack: 77_778 })).toEqual([1, 1])
    rig.table.closeAll()
    expect(rig.closed).toEqual([0, 1])
  })

  it.each([
    ['its answer', { ...back, flags: SYN | ACK, seq: 9000, ack: 77_778 }],
    ['its data, where only its sender was captured', { seq: 77_778, ack: 9001 }],
    ['data behind, where the first was lost', { seq: 79_000, ack: 9001 }],
    ['what is acknowledged of it', { ...back, seq: 9001, ack: 77_800 }],
  ])('begins another one when a SYN is taken up: by %s', (_what, taken) => {
    const rig = new Rig()
    expect(rig.numbers(...alive, stray, taken, { seq: 77_778, ack: 9001 })).toEqual([0, 0, 0, 0, 1, 1, 1])
    expect(rig.closed).toEqual([0])
  })

  it('keeps the live one through any number of stray SYNs, refused ones too', () => {
    const rig = new Rig()
    rig.numbers(...alive)
    for (let i = 1; i <= 5; i++) {
      const seq = 100_000 * i
      const refusal = { ...back, flags: RST | ACK, seq: 0, ack: seq + 1 }
      expect(rig.numbers({ flags: SYN, seq }, refusal, { seq: 1007, ack: 5001 })).toEqual([i, i, 0])
    }
    expect(rig.closed).toEqual([1, 2, 3, 4])
    rig.table.closeAll()
    expect(rig.closed).toEqual([1, 2, 3, 4, 0, 5])
  })

  it('does not forget the live one when the SYN beside it is closed for want of room', () => {
    const rig = new Rig(2)
    rig.numbers(...alive)
    const conversation = rig.find(stray)
    conversation.ended = true
    // Far more than are remembered: the SYN's is forgotten.
    for (let i = 0; i < 20; i++) {
      rig.find({ ports: [1 + i, 90], seq: i }).ended = true
      expect(rig.find({ seq: 1007, ack: 5001 }).number).toBe(0)
    }
  })

  it('gives ends that are only named a number, which is theirs when they come', () => {
    const rig = new Rig()
    const quoted = (spec: Spec) => Object.assign(segmentOf(spec), { quoted: true, numbered: false })
    rig.table.name(quoted({ ports: [1, 80], flags: SYN, seq: 5 }))
    rig.table.name(quoted({ ports: [2, 80] }))
    rig.table.name(quoted({ from: B, to: A, ports: [80, 2] }))
    expect(rig.numbers({ ports: [3, 80] }, { ports: [1, 80], flags: SYN, seq: 99 })).toEqual([2, 0])
    // Of what is known a quotation says nothing, but for a SYN of another connection.
    rig.table.name(quoted({ ports: [1, 80], seq: 100 }))
    rig.table.name(quoted({ ports: [1, 80], flags: SYN, seq: 99 }))
    expect(rig.table.count).toBe(3)
    rig.table.name(quoted({ ports: [1, 80], flags: SYN, seq: 7 }))
    expect(rig.table.count).toBe(4)
    expect(rig.numbers({ ports: [1, 80], seq: 100 })).toEqual([0])
    rig.table.closeAll()
    expect(rig.closed).toEqual([2, 0, 1, 3])
  })

  it('does not give the number of a damaged segment to a SYN that begins elsewhere', () => {
    const rig = new Rig()
    rig.table.name(segmentOf({ ports: [1, 80], seq: 50 }))
    rig.table.name(segmentOf({ ports: [2, 80], seq: 50 }))
    expect(rig.numbers({ ports: [1, 80], flags: SYN, seq: 99 })).toEqual([2])
    expect(rig.numbers({ ports: [2, 80], flags: SYN, seq: 49 })).toEqual([1])
    expect(rig.closed).toEqual([0])
  })

  it('remembers a bounded number of names', () => {
    const rig = new Rig(4)
    for (let port = 1; port <= 10; port++) rig.table.name(segmentOf({ ports: [port, 80] }))
    expect(rig.closed).toEqual([0, 1, 2, 3, 4, 5])
    rig.table.closeAll()
    expect(rig.closed).toEqual(Array.from({ length: 10 }, (_, i) => i))
  })

  it('closes what is open at the end, in order', () => {
    const rig = new Rig()
    rig.numbers(
      { ports: [3, 80] },
      { ports: [1, 80] },
      { ports: [2, 80] },
      { ports: [1, 80], flags: SYN, seq: 9 },
    )
    // Nobody has taken the SYN up yet.
    expect(rig.closed).toEqual([])
    rig.numbers({ ports: [1, 80], seq: 10 })
    expect(rig.closed).toEqual([1])
    rig.table.closeAll()
    expect(rig.closed).toEqual([1, 0, 2, 3])
    rig.table.closeAll()
    expect(rig.closed).toEqual([1, 0, 2, 3])
  })

  it('finds any of many', () => {
    const rig = new Rig()
    for (let port = 1; port <= 20_000; port++) rig.find({ ports: [port, 80] })
    expect(rig.table.count).toBe(20_000)
    for (let port = 20_000; port > 0; port -= 97)
      expect(rig.find({ ports: [port, 80] }).number).toBe(port - 1)
  })
})

describe('with few open conversations', () => {
  it('closes ended ones first, then quiet ones, then the oldest', () => {
    const rig = new Rig(3)
    rig.find({ ports: [1, 80] }, 0)
    rig.find({ ports: [2, 80] }, 0).ended = true
    rig.find({ ports: [3, 80] }, 0)
    rig.find({ ports: [4, 80] }, 1)
    expect([rig.closed, rig.table.evicted]).toEqual([[1], 1])
    rig.find({ ports: [1, 80] }, 100)
    rig.find({ ports: [4, 80] }, 100)
    rig.find({ ports: [5, 80] }, 100)
    // 3 was quiet.
    expect(rig.closed).toEqual([1, 2])
    rig.find({ ports: [6, 80] }, 100)
    expect([rig.closed.length, rig.table.evicted]).toEqual([3, 3])
  })

  it('does not close the one that has just begun', () => {
    for (let limit = 1; limit < 80; limit++) {
      const rig = new Rig(limit)
      for (let port = 1; port <= 2 * limit; port++) {
        expect(rig.find({ ports: [port, 80] }, port / 1000).closed).toBe(false)
      }
      expect(rig.table.evicted).toBe(limit)
    }
  })

  it('does not take late segments of closed ones for new conversations, but SYNs', () => {
    const rig = new Rig(2)
    rig.numbers({ ports: [1, 80], flags: SYN, seq: 1 }, { ports: [2, 80] }, { ports: [3, 80] })
    expect(rig.closed).toEqual([0])
    const late = rig.find({ ports: [1, 80], seq: 2 })
    expect([late.number, late.closed, rig.table.count]).toEqual([0, true, 3])
    expect(rig.numbers({ ports: [1, 80], flags: SYN, seq: 1000 })).toEqual([3])
    expect(rig.closed.filter((number) => number === 0).length).toBe(1)
  })

  it('remembers a bounded number, however many there are', () => {
    const rig = new Rig(10)
    const segment = segmentOf({})
    for (let i = 0; i < 200_000; i++) {
      segment.sourcePort = i & 0xffff
      segment.source3 = i >>> 16
      rig.table.find(segment, i)
    }
    expect(rig.table.count).toBe(200_000)
    expect(rig.table.evicted).toBe(199_990)
    expect(rig.closed.length).toBe(199_990)
    expect(new Set(rig.closed).size).toBe(199_990)
    // Of those closed long ago nothing is known.
    segment.sourcePort = 0
    segment.source3 = 0
    expect(rig.table.find(segment, 0).number).toBe(200_000)
    rig.table.closeAll()
    expect(rig.closed.length).toBe(200_001)
  })
})

describe('ReportOrder', () => {
  const report = (stream: number): StreamReport => ({ stream }) as StreamReport

  it('hands reports out in order of conversations', () => {
    const seen: number[] = []
    const order = new ReportOrder(({ stream }) => seen.push(stream))
    order.add(2, [report(2), report(2)])
    order.add(0, [report(0)])
    expect(seen).toEqual([0])
    order.add(1, [])
    order.add(3, [report(3)])
    expect(seen).toEqual([0, 2, 2, 3])
  })

  it('does not wait for one conversation without end', () => {
    const seen: number[] = []
    const order = new ReportOrder(({ stream }) => seen.push(stream))
    for (let stream = 1; stream <= 65_536; stream++) order.add(stream, [report(stream)])
    expect(seen.length).toBe(0)
    order.add(65_537, [report(65_537)])
    expect(seen).toEqual(Array.from({ length: 65_537 }, (_, i) => i + 1))
    order.add(0, [report(0)])
    expect(seen.at(-1)).toBe(0)
  })
})
