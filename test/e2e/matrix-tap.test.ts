import { obstacle } from '../driver/tap/setup.ts'
import { describeMatrix } from '../support/matrix-cells.ts'
import { TapWay } from '../support/ways.ts'

const GB = 1 << 30

describeMatrix({
  name: 'tap',
  obstacle,
  make: () => new TapWay({ ipv6: true }),
  bulk: 64 << 20,
  single: [
    { what: '1 GiB to us', cell: { opens: 'Linux', closes: 'Linux', version: 4, send: 1, receive: GB } },
    { what: '1 GiB from us', cell: { opens: 'we', closes: 'Linux', version: 6, send: GB, receive: 1 } },
  ],
})
