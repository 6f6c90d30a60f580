import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import * as abi from '../../../uapi/abi/index.ts'

const here = import.meta.dirname
const folder = mkdtempSync(join(tmpdir(), 'zcrx-abi-'))
afterAll(() => rmSync(folder, { recursive: true }))

type Layout = Record<string, Record<string, number | [offset: number, bytes: number]>>
const compiled = compile()
if (compiled === null) console.warn('layouts are not compared with a C compiler: there is no cc')

/** What the C compiler says; null without one. */
function compile(): { zcrx: string; structs: Layout } | null {
  const program = join(folder, 'layout')
  try {
    execFileSync('cc', ['-Wall', '-Werror', '-o', program, join(here, 'layout.c')], { stdio: 'pipe' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new Error(`layout.c: ${(error as { stderr?: Buffer }).stderr?.toString() ?? error}`)
  }
  return JSON.parse(execFileSync(program, { encoding: 'utf8' }))
}

/** A view of bytes: its fields by the C names, read through the accessors. */
interface Subject {
  readonly size: number
  readonly fields: (bytes: Uint8Array) => Record<string, () => number>
}

const addresser = { addressOf: () => 0 }
const subjects: Record<string, Subject> = {
  io_uring_sqe: {
    size: abi.Sqe.SIZE,
    fields: (bytes) => {
      const s = new abi.Sqe(bytes, addresser)
      return {
        opcode: () => s.opcode,
        flags: () => s.flags,
        ioprio: () => s.ioprio,
        fd: () => s.fd,
        off: () => s.off,
        addr: () => s.addr,
        len: () => s.len,
        msg_flags: () => s.opFlags,
        user_data: () => s.userDataHigh * 2 ** 32 + s.userDataLow,
        buf_group: () => s.bufGroup,
        personality: () => s.personality,
        file_index: () => s.zcrxIfqIdx,
        addr3: () => s.addr3,
      }
    },
  },
  io_uring_sync_cancel_reg: {
    size: abi.SyncCancelReg.SIZE,
    fields: (bytes) => {
      const s = new abi.SyncCancelReg(bytes)
      return { addr: () => s.addrHigh * 2 ** 32 + s.addrLow, fd: () => s.fd, flags: () => s.flags }
    },
  },
  io_uring_files_update: {
    size: abi.FilesUpdate.SIZE,
    fields: (bytes) => {
      const s = new abi.FilesUpdate(bytes)
      return { offset: () => s.offset, fds: () => s.fds }
    },
  },
  io_uring_rsrc_register: {
    size: abi.RsrcRegister.SIZE,
    fields: (bytes) => {
      const s = new abi.RsrcRegister(bytes)
      return { nr: () => s.nr, flags: () => s.flags, data: () => s.data, tags: () => s.tags }
    },
  },
  io_uring_rsrc_update2: {
    size: abi.RsrcUpdate2.SIZE,
    fields: (bytes) => {
      const s = new abi.RsrcUpdate2(bytes)
      return { offset: () => s.offset, data: () => s.data, tags: () => s.tags, nr: () => s.nr }
    },
  },
  io_uring_file_index_range: {
    size: abi.FileIndexRange.SIZE,
    fields: (bytes) => {
      const s = new abi.FileIndexRange(bytes)
      return { off: () => s.off, len: () => s.len }
    },
  },
  io_uring_buf_reg: {
    size: abi.BufReg.SIZE,
    fields: (bytes) => {
      const s = new abi.BufReg(bytes)
      return { ring_addr: () => s.ringAddr, ring_entries: () => s.ringEntries, bgid: () => s.bgid }
    },
  },
  io_uring_probe: {
    size: abi.Probe.HEADER_SIZE,
    fields: (bytes) => {
      const s = new abi.Probe(bytes)
      return { last_op: () => s.lastOp, ops_len: () => s.opsLen }
    },
  },
  io_uring_region_desc: {
    size: abi.RegionDesc.SIZE,
    fields: (bytes) => {
      const s = new abi.RegionDesc(bytes)
      return {
        user_addr: () => s.userAddr,
        size: () => s.size,
        flags: () => s.flags,
        id: () => s.id,
        mmap_offset: () => s.mmapOffset,
      }
    },
  },
  io_uring_zcrx_area_reg: {
    size: abi.ZcrxAreaReg.SIZE,
    fields: (bytes) => {
      const s = new abi.ZcrxAreaReg(bytes)
      return { addr: () => s.addr, len: () => s.len, flags: () => s.flags, dmabuf_fd: () => s.dmabufFd }
    },
  },
  io_uring_zcrx_ifq_reg: {
    size: abi.ZcrxIfqReg.SIZE,
    fields: (bytes) => {
      const s = new abi.ZcrxIfqReg(bytes)
      return {
        if_idx: () => s.ifIdx,
        if_rxq: () => s.ifRxq,
        rq_entries: () => s.rqEntries,
        flags: () => s.flags,
        area_ptr: () => s.areaPtr,
        region_ptr: () => s.regionPtr,
        offsets: () => s.offsets.head,
        zcrx_id: () => s.zcrxId,
        rx_buf_len: () => s.rxBufLen,
        event_desc: () => s.eventDesc,
      }
    },
  },
  zcrx_event_desc: {
    size: abi.ZcrxEventDesc.SIZE,
    fields: (bytes) => {
      const s = new abi.ZcrxEventDesc(bytes)
      return {
        user_data: () => s.userData,
        type_mask: () => s.typeMask,
        flags: () => s.flags,
        stats_offset: () => s.statsOffset,
      }
    },
  },
  zcrx_stats: {
    size: abi.ZcrxStats.SIZE,
    fields: (bytes) => {
      const s = new abi.ZcrxStats(bytes)
      return { copy_count: () => s.copyCount, copy_bytes: () => s.copyBytes }
    },
  },
  zcrx_ctrl: {
    size: abi.ZcrxCtrl.SIZE,
    fields: (bytes) => {
      const s = new abi.ZcrxCtrl(bytes)
      return {
        zcrx_id: () => s.zcrxId,
        op: () => s.op,
        zc_export: () => s.zcrxFd,
        zc_arm: () => s.eventType,
        zc_area: () => s.areaPtr,
      }
    },
  },
  io_uring_query_hdr: {
    size: abi.QueryHdr.SIZE,
    fields: (bytes) => {
      const s = new abi.QueryHdr(bytes)
      return {
        next_entry: () => s.nextEntry,
        query_data: () => s.queryData,
        query_op: () => s.queryOp,
        size: () => s.size,
        result: () => s.result,
      }
    },
  },
  io_uring_query_zcrx: {
    size: abi.QueryZcrx.SIZE,
    fields: (bytes) => {
      const s = new abi.QueryZcrx(bytes)
      return {
        register_flags: () => s.registerFlags,
        area_flags: () => s.areaFlags,
        nr_ctrl_opcodes: () => s.nrCtrlOpcodes,
        features: () => s.features,
        rq_hdr_size: () => s.rqHdrSize,
        rq_hdr_alignment: () => s.rqHdrAlignment,
      }
    },
  },
  io_uring_query_zcrx_event: {
    size: abi.QueryZcrxEvent.SIZE,
    fields: (bytes) => {
      const s = new abi.QueryZcrxEvent(bytes)
      return {
        event_flags: () => s.eventFlags,
        stats_size: () => s.statsSize,
        stats_off_alignment: () => s.statsOffAlignment,
      }
    },
  },
  sockaddr_in: {
    size: abi.SockaddrIn.SIZE,
    fields: (bytes) => {
      const s = new abi.SockaddrIn(bytes)
      return { sin_family: () => s.family }
    },
  },
  sockaddr_in6: {
    size: abi.SockaddrIn6.SIZE,
    fields: (bytes) => {
      const s = new abi.SockaddrIn6(bytes)
      return { sin6_family: () => s.family, sin6_scope_id: () => s.scopeId }
    },
  },
}

describe.skipIf(compiled === null)('structures lie as the C compiler lays them out', () => {
  const { structs, zcrx } = compiled ?? { structs: {}, zcrx: '' }

  it('with definitions of the system where it has them', () => {
    expect(['system', 'restated']).toContain(zcrx)
    if (zcrx === 'restated')
      console.warn('the system has no linux/io_uring/zcrx.h: its layouts are those restated in zcrx-uapi.h')
  })

  it.each(Object.keys(subjects))('struct %s', (name) => {
    const layout = structs[name]!
    const subject = subjects[name]!
    expect(subject.size).toBe(layout.sizeof)
    const seen = Object.keys(subject.fields(new Uint8Array(subject.size)))
    for (const field of seen) {
      const [offset, bytes] = layout[field] as [number, number]
      const memory = new Uint8Array(subject.size)
      const width = Math.min(bytes, 8)
      // Nothing else set, so that a neighbour read by mistake shows.
      const value = width === 1 ? 0x5a : width === 2 ? 0x5aa5 : 0x1234_5678
      for (let i = 0; i < Math.min(width, 4); i++) memory[offset + i] = (value >>> (8 * i)) & 0xff
      expect(subject.fields(memory)[field]!(), `${name}.${field}`).toBe(value)
      if (width === 8 && field !== 'offsets' && !field.startsWith('zc_')) {
        memory[offset + 4] = 1
        expect(subject.fields(memory)[field]!(), `${name}.${field}, high half`).toBe(value + 2 ** 32)
      }
    }
  })

  it('completions, refill entries and time specifications, which have no class of their own', () => {
    expect(structs.io_uring_cqe).toEqual({ sizeof: 16, user_data: [0, 8], res: [8, 4], flags: [12, 4] })
    expect(structs.io_uring_zcrx_cqe).toEqual({ sizeof: 16, off: [0, 8], __pad: [8, 8] })
    expect(structs.io_uring_zcrx_rqe).toEqual({
      sizeof: abi.RQE_SIZE,
      off: [0, 8],
      len: [8, 4],
      __pad: [12, 4],
    })
    expect(structs.__kernel_timespec).toEqual({ sizeof: 16, tv_sec: [0, 8], tv_nsec: [8, 8] })
    expect(abi.timespecOf(1_500_000).length).toBe(16)
    expect(structs.io_uring_zcrx_offsets).toMatchObject({
      sizeof: 32,
      head: [0, 4],
      tail: [4, 4],
      rqes: [8, 4],
    })
  })
})
