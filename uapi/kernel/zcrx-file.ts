import type { OpenFile } from './files.ts'
import type { ZcrxIfq } from './zcrx.ts'

/** An exported instance, what ZCRX_CTRL_EXPORT gives a descriptor for: the instance lives while it is open. */
export class ZcrxFile implements OpenFile {
  readonly kind = 'zcrx'
  readonly ifq: ZcrxIfq

  constructor(ifq: ZcrxIfq) {
    this.ifq = ifq
    ifq.hold()
  }

  release(): void {
    this.ifq.release()
  }
}
