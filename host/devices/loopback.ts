import { IpAddress } from '../../address.ts'
import { nativeOrNull } from '../../driver/native/index.ts'
import { inNamespace } from '../../driver/system.ts'
import { NicError } from '../../errors.ts'
import { LOOPBACK_COST, LOOPBACK_REMEDY } from '../examine/index.ts'

/**
 * Nobody can be reached over the loopback interface: the kernel answers there for itself. @throws NicError
 */
export function refuseLoopback({ name, netns }: { readonly name: string; readonly netns?: string }): void {
  const native = nativeOrNull()
  if (native === null) return
  const facts = inNamespace(native, netns, () => native.linkInfo(name))
  // What is not there is told by who opens it.
  if (typeof facts === 'number' || !facts.loopback) return
  throw new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    `${name} is the loopback interface: ${LOOPBACK_COST}`,
    LOOPBACK_REMEDY,
  )
}

/** The same for its addresses, 127.0.0.0/8 and ::1. @throws NicError */
export function refuseLoopbackAddress(text: string): void {
  const address = IpAddress.parse(text)
  const loopback = address?.version === 4 ? address.w3 >>> 24 === 127 : address?.toString() === '::1'
  if (!loopback) return
  throw new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    `${text} is a loopback address: ${LOOPBACK_COST}`,
    LOOPBACK_REMEDY,
  )
}
