import { obstacle } from '../driver/raw/setup.ts'
import { LONG } from '../support/long.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { WireCapture } from '../support/tshark.ts'
import { RawWay } from '../support/ways.ts'

const MB = 1 << 20
/** The largest streams. */
const LARGE = LONG ? 64 * MB : 24 * MB

describeMatrix({
  name: 'raw',
  obstacle,
  make: () => new RawWay({ ipv6: true }),
  capture: (way) => WireCapture.start(way as RawWay),
  hostOnly: true,
  bulk: LONG ? 16 * MB : 6 * MB,
  single: [
    {
      what: `${LARGE >> 20} MiB to us`,
      cell: { opens: 'Linux', closes: 'Linux', version: 6, send: 1, receive: LARGE },
    },
    {
      what: `${LARGE >> 20} MiB from us`,
      cell: { opens: 'we', closes: 'Linux', version: 4, send: LARGE, receive: 1 },
    },
  ],
})
