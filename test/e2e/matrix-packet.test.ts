import { obstacle } from '../driver/xdp/setup.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { WireCapture } from '../support/tshark.ts'
import { PacketWay } from '../support/ways.ts'

const GB = 1 << 30

describeMatrix({
  name: 'packet',
  obstacle,
  make: () => new PacketWay({ ipv6: true }),
  capture: (way) => WireCapture.start(way as PacketWay),
  bulk: 64 << 20,
  single: [
    { what: '1 GiB to us', cell: { opens: 'Linux', closes: 'Linux', version: 4, send: 1, receive: GB } },
    { what: '1 GiB from us', cell: { opens: 'we', closes: 'Linux', version: 6, send: GB, receive: 1 } },
  ],
})
