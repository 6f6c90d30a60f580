import { obstacle } from '../driver/raw/setup.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { WireCapture } from '../support/tshark.ts'
import { RawWay } from '../support/ways.ts'

const MB = 1 << 20

describeMatrix({
  name: 'raw',
  obstacle,
  make: () => new RawWay({ ipv6: true }),
  capture: (way) => WireCapture.start(way as RawWay),
  hostOnly: true,
  bulk: 16 * MB,
  single: [
    {
      what: '64 MiB to us',
      cell: { opens: 'Linux', closes: 'Linux', version: 6, send: 1, receive: 64 * MB },
    },
    { what: '64 MiB from us', cell: { opens: 'we', closes: 'Linux', version: 4, send: 64 * MB, receive: 1 } },
  ],
})
