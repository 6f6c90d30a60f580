import { obstacle } from '../driver/xdp/setup.ts'
import { LONG } from '../support/long.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { WireCapture } from '../support/tshark.ts'
import { XdpWay } from '../support/ways.ts'

/** The largest streams: 1 GiB when it is to be long. */
const LARGE = LONG ? 1 << 30 : 64 << 20
const SIZE = LONG ? '1 GiB' : '64 MiB'

describeMatrix({
  name: 'plain',
  obstacle,
  make: () => new XdpWay({ ipv6: true }),
  capture: (way) => WireCapture.start(way as XdpWay),
  bulk: LONG ? 64 << 20 : 12 << 20,
  single: [
    {
      what: `generic mode, ${SIZE} to us`,
      cell: { opens: 'Linux', closes: 'Linux', version: 4, send: 1, receive: LARGE },
      mode: 'generic',
    },
    {
      what: `native mode, ${SIZE} from us`,
      cell: { opens: 'Linux', closes: 'Linux', version: 4, send: LARGE, receive: 1 },
      mode: 'native',
    },
  ],
})
