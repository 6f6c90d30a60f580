import type { Nic } from '../../driver/nic.ts'

/** The memory beside the area (`NicRoles.sideMemory`) by words of four bytes; empty where the NIC has none. */
export function sideWordsOf({ roles: { sideMemory } }: Nic): Uint32Array {
  if (sideMemory === null) return new Uint32Array(0)
  return new Uint32Array(sideMemory.buffer, sideMemory.byteOffset, sideMemory.byteLength >>> 2)
}
