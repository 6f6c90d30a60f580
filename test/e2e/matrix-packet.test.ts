import { obstacle } from '../driver/xdp/setup.ts'
import { LONG } from '../support/long.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { WireCapture } from '../support/tshark.ts'
import { PacketWay } from '../support/ways.ts'

/** The largest streams: 1 GiB when it is to be long. */
const LARGE = LONG ? 1 << 30 : 64 << 20
const SIZE = LONG ? '1 GiB' : '64 MiB'

describeMatrix({
  name: 'packet',
  obstacle,
  make: () => new PacketWay({ ipv6: true }),
  capture: (way) => WireCapture.start(way as PacketWay),
  bulk: LONG ? 64 << 20 : 12 << 20,
  single: [
    { what: `${SIZE} to us`, cell: { opens: 'Linux', closes: 'Linux', version: 4, send: 1, receive: LARGE } },
    { what: `${SIZE} from us`, cell: { opens: 'we', closes: 'Linux', version: 6, send: LARGE, receive: 1 } },
  ],
})
