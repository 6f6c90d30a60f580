import { obstacle } from '../driver/xdp/setup.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { WireCapture } from '../support/tshark.ts'
import { XdpWay } from '../support/ways.ts'

const GB = 1 << 30

describeMatrix({
  name: 'plain',
  obstacle,
  make: () => new XdpWay({ ipv6: true }),
  capture: (way) => WireCapture.start(way as XdpWay),
  bulk: 64 << 20,
  single: [
    {
      what: 'generic mode, 1 GiB to us',
      cell: { opens: 'Linux', closes: 'Linux', version: 4, send: 1, receive: GB },
      mode: 'generic',
    },
    {
      what: 'native mode, 1 GiB from us',
      cell: { opens: 'Linux', closes: 'Linux', version: 4, send: GB, receive: 1 },
      mode: 'native',
    },
  ],
})
