import * as abi from '../../uapi/abi/index.ts'
import { CTRL_OP, control, ctrl, type Handle } from './instance.ts'
import { PAGE, type UserMemory } from './memory.ts'
import { NoTranslation, type Play } from './play.ts'
import type { Scenario } from './record.ts'
import { AREA_REG, AREA_REG_BYTES, IFQ_REG, IFQ_REG_BYTES, Struct } from './structs.ts'

/** `struct io_uring_zcrx_ifq_reg` of an import. */
export function importStruct(fd: number): Struct {
  const reg = new Struct(IFQ_REG, IFQ_REG_BYTES)
  reg.set('if_idx', fd)
  reg.set('flags', abi.ZCRX_REG_IMPORT)
  return reg
}

/** ZCRX_REG_IMPORT on a ring, which is made if there is none of that number yet. */
export function importInstance(play: Play, ring: number, fd: number): { ret: number; reg: Struct } {
  if (!play.rings.has(ring)) play.addRing(ring)
  const reg = importStruct(fd)
  reg.remember()
  const ret = play.ring(ring).register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
  if (ret === 0) {
    // All who import see the memory that the first one registered.
    const { instance } = play.handles.get(1)![0]!
    play.adopt(ring, reg.get('zcrx_id'), instance)
  }
  return { ret, reg }
}

/** `struct io_uring_zcrx_area_reg` over fresh memory. */
export function areaStruct(memory: UserMemory, pages: number): { area: Struct; bytes: Uint8Array } {
  const bytes = memory.map(pages)
  const area = new Struct(AREA_REG, AREA_REG_BYTES)
  area.set('addr', memory.address(bytes))
  area.set('len', pages * PAGE)
  return { area, bytes }
}

/** How prose tells the pages of the next area. */
const ADDED_PAGES = [
  /area [1-9]\d* of (\d+) pages/,
  /and (\d+) pages/,
  /(?:second|another|further|new|added|one more) (?:area of |area, )?(\d+)[- ]pages?/,
  /(\d+)-page (?:second|further|new|added) area/,
  /area of (\d+) pages?,? (?:is |was )?added/,
  /add(?:s|ed|ing)? (?:an area of )?(\d+) pages/i,
  /ADD_AREA (?:of )?(\d+)/,
  /(?:two|both) areas of (\d+)/,
  /two (\d+)-page areas/,
]

/** Pages of an area that is added, as the words have it. @throws NoTranslation */
export function addedPages({ what }: Scenario): number {
  for (const words of ADDED_PAGES) {
    const match = words.exec(what)
    if (match !== null) return Number(match[1])
  }
  throw new NoTranslation(`pages of the area that is added: "${what}"`)
}

/** ZCRX_CTRL_ADD_AREA of fresh memory. */
export function addArea(handle: Handle, memory: UserMemory, pages: number): { ret: number; area: Struct } {
  const { area, bytes } = areaStruct(memory, pages)
  const struct = ctrl(handle.id, CTRL_OP.ADD_AREA)
  struct.set('zc_area.area_ptr', memory.address(area.bytes))
  area.remember()
  const ret = control(handle.ring, struct)
  if (ret === 0) handle.instance.areas[area.get('rq_area_token') / 2 ** 48] = bytes
  return { ret, area }
}
