import { FrameNic } from '../pcap/play/frame-nic.ts'

export { OUR_MAC } from '../pcap/play/frame-nic.ts'

/** The queue of a replay's endpoint: whoever plays, drives. */
export class ReplayNic extends FrameNic {
  constructor(name: string) {
    super('replay', name)
  }
}
