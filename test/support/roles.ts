import type { Nic, NicRoles } from '../../driver/nic.ts'
import { ForwardingNic } from '../../driver/wrap/forward.ts'

/** A NIC that is another one, with these roles in the place of that one's. */
export function withRoles(inner: Nic, roles: Partial<NicRoles>): ForwardingNic {
  const nic = new ForwardingNic(inner)
  nic.roles = { ...inner.roles, ...roles }
  return nic
}
