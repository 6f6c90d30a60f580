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
    ['1 GiB to us', { opens: 'Linux', closes: 'Linux', version: 4, send: 1, receive: GB }],
    ['1 GiB from us', { opens: 'we', closes: 'Linux', version: 6, send: GB, receive: 1 }],
  ],
})
