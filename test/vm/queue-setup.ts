/**
 * What Linux says of the queues of a NIC, and setting one up for zero-copy receive: run in the machine of scripts/vm, whose zcnic
 * has everything with `settings=1`, and nothing to be set without.
 * npm run vm -- --zcnic=settings=1 -- node dist/test/vm/queue-setup.js
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { allocateArea, asNicMemory } from '../../driver/area.ts'
import { loadNative } from '../../driver/native/index.ts'
import { EthtoolLink, NetdevLink } from '../../driver/netlink/index.ts'
import { applyQueueSetup, listRules, NTUPLE, type SetupStep } from '../../driver/setup/index.ts'
import { ERRNO, linkInfo } from '../../driver/system.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import type { NicError } from '../../errors.ts'
import { examineDevice } from '../../host/devices/index.ts'
import {
  IORING_SETUP_CQE32,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
} from '../../uapi/abi/index.ts'
import { LinuxHost } from '../../uapi/backend/linux/host.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'

const DEVICE = 'zc0'
const QUEUE = 1
const PORT = 9000
const ETHTOOL_SRXFHINDIR = 0x39
const PATIENCE_MS = 10_000

if (process.env.ZCRX_VM_RXQ === undefined) {
  const command = 'npm run vm -- --zcnic=settings=1 -- node dist/test/vm/queue-setup.js'
  console.error(`this runs in the machine only: ${command}`)
  process.exit(2)
}

let failed = 0
function check(what: string, seen: unknown, wanted: unknown): void {
  const [is, should] = [JSON.stringify(seen), JSON.stringify(wanted)]
  if (is !== should) failed++
  console.log(is === should ? `ok     ${what}` : `NOT OK ${what}: ${is}, not ${should}`)
}

/** Of what the kernel does when it comes to it. */
function becomes(what: string, see: () => unknown, wanted: unknown): void {
  const until = performance.now() + PATIENCE_MS
  const should = JSON.stringify(wanted)
  while (JSON.stringify(see()) !== should && performance.now() < until) loadNative().poll(-1, 0, 1)
  check(what, see(), wanted)
}

const native = loadNative()
const { index } = linkInfo(native, DEVICE)
const ethtool = EthtoolLink.open(native, index)!
const netdev = NetdevLink.open(native, index)!
const settable = ethtool.rings() !== null

/** Everything that can be set, read back from the kernel. */
function state() {
  const rules = listRules(native, DEVICE)
  return {
    rings: ethtool.rings(),
    table: ethtool.indirection(),
    ntuple: ethtool.offloads()?.active.has(NTUPLE),
    rules: typeof rules === 'number' ? rules : rules.map(({ flow, port, queue }) => [flow, port, queue]),
  }
}

const outcomes = (steps: readonly SetupStep[]): string[] =>
  steps.map(({ what, outcome }) => `${what}: ${outcome}`)
const holders = (): (string | null)[] => netdev.receiveQueues()?.map(({ holder }) => holder) ?? []
const before = state()

function reports(): void {
  check('four queues, held by nobody', holders(), [null, null, null, null])
  const { ok, findings, ways } = examineDevice(`linux:${DEVICE}`)
  check(
    'the doctor judges each queue',
    ways.map(({ device }) => device),
    [0, 1, 2, 3].map((id) => `linux:zc0/${id}`),
  )
  check('they can be had unless header split is off', ok, !settable)
  const split = findings.find((finding) => finding.check === 'header/data split')
  check(
    'and it says so',
    [split?.status, split?.fix],
    [settable ? 'blocks' : 'note', 'ethtool -G zc0 tcp-data-split on'],
  )
}

/** A socket of AF_XDP is seen at its queue, and closes it. */
function heldByXdp(): void {
  const nic = XdpNic.open({ device: DEVICE, queue: 2, mode: 'generic' })
  nic.attach(asNicMemory(allocateArea(1 << 20, nic.info.tailBytes)))
  check('an AF_XDP socket holds queue 2', holders(), [null, null, 'af_xdp', null])
  const { ways } = examineDevice(`linux:${DEVICE}/2`)
  check(
    'which is closed then',
    [ways[0]?.open, ways[0]?.reasons.some((why) => why.includes('AF_XDP'))],
    [false, true],
  )
  nic.close()
  becomes('and nobody’s again', holders, [null, null, null, null])
}

function refusals(): void {
  try {
    applyQueueSetup({ device: DEVICE, queue: 4 })
    check('queue 4 is refused', 'set up', 'refused')
  } catch (error) {
    check('queue 4 is refused', (error as NicError).code, 'ZCRX_ARGUMENT')
  }
  check(
    'an offload that is not there is refused in words',
    [ethtool.setOffload('nonesuch', true) < 0, ethtool.said !== ''],
    [true, true],
  )
  check('nothing was changed', state(), before)
}

function nothingToSet(): void {
  const setup = applyQueueSetup({ device: DEVICE, queue: QUEUE, ports: [PORT] })
  check('what the driver has not is said', outcomes(setup.steps), [
    'header/data split: not offered',
    'RSS: not offered',
    'ntuple: not offered',
    'rule: not offered',
    'rule: not offered',
  ])
  check('and nothing is to be undone', [setup.undone, setup.undo(), state()], [true, [], before])
}

const SET_UP = {
  rings: { dataSplit: 'on', splitThreshold: 0, bufferBytes: null },
  ntuple: true,
  rules: [['tcp4', PORT, QUEUE]],
}

function set(): void {
  const setup = applyQueueSetup({ device: DEVICE, queue: QUEUE, ports: [PORT] })
  check('steps are taken', outcomes(setup.steps), [
    'header/data split: done',
    'hds-thresh: done',
    'RSS: done',
    'ntuple: done',
    'rule: done',
    'rule: not offered',
  ])
  const { table, ...rest } = state()
  check('the kernel reads them back', rest, SET_UP)
  check('and RSS leaves the queue out', [...new Set(table)], [0, 2, 3])
  const { ok, findings } = examineDevice(`linux:${DEVICE}/${QUEUE}`, { ports: [PORT] })
  check('the doctor finds it well', [ok, findings.filter(({ status }) => status === 'costs')], [true, []])
  check('undone in reverse', outcomes(setup.undo()), [
    'rule: undone',
    'ntuple: undone',
    'RSS: undone',
    'hds-thresh: undone',
    'header/data split: undone',
  ])
  check('the kernel reads back what was', state(), before)
  // Kernels before 6.17 take the table by ioctl only.
  const words = Uint32Array.from([ETHTOOL_SRXFHINDIR, 32, ...Array.from({ length: 32 }, (_, i) => i % 2)])
  check('a table goes by ioctl as well', native.ethtool(DEVICE, new Uint8Array(words.buffer)), 0)
  check('as netlink reads it', [...new Set(ethtool.indirection())], [0, 1])
  check('and the driver’s own comes back', [ethtool.setIndirection([]), state()], [0, before])
}

/** A ring of Linux's has the queue: what is undone meanwhile, and what only when it is let go of. */
async function heldByRing(): Promise<void> {
  const flags = IORING_SETUP_CQE32 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
  const ring = Ring.queueInit(8, new LinuxHost(), { flags })
  const area = ring.allocateArea(1 << 20)
  const register = (): Ifq | number => ring.registerIfq({ ifIdx: index, ifRxq: QUEUE, rqEntries: 64, area })
  check('the kernel refuses the queue before', register(), -ERRNO.EINVAL)
  const setup = applyQueueSetup({ device: DEVICE, queue: QUEUE, ports: [PORT] })
  const ifq = register()
  check('and gives it afterwards', typeof ifq, 'object')
  check('the ring holds it', holders(), [null, 'io_uring', null, null])
  const { ways } = examineDevice(`linux:${DEVICE}/${QUEUE}`)
  const own = ways[0]?.reasons.some((why) => why.includes(`pid ${process.pid} `))
  check('the doctor says who', [ways[0]?.open, own], [false, true])
  const left = setup.undo().filter(({ outcome }) => outcome === 'left')
  check(
    'split and RSS stay meanwhile',
    left.map(({ what }) => what),
    ['RSS', 'hds-thresh', 'header/data split'],
  )
  check('for the kernel’s reasons', left.at(-1)?.words.includes('memory provider'), true)
  ring.queueExit()
  // Which of them the kernel gives back first depends on when it has let go.
  check('and go when it is let go of', outcomes(await setup.undoWithin(10_000)).sort(), [
    'RSS: undone',
    'hds-thresh: undone',
    'header/data split: undone',
  ])
  becomes('everything is as before', () => [state(), holders()], [before, [null, null, null, null]])
}

/** As people do it: until Ctrl-C. */
async function command(): Promise<void> {
  const args = ['bin/zcrxd.js', 'doctor', `linux:${DEVICE}/${QUEUE}`, '--apply', '--port', `${PORT}`]
  const doctor = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(doctor, 'exit')
  const lines: string[] = []
  for await (const line of createInterface({ input: doctor.stdout })) {
    lines.push(line)
    if (line !== 'set up until it is interrupted') continue
    const { table: _, ...rest } = state()
    check('zcrxd doctor --apply sets it up', rest, SET_UP)
    doctor.kill('SIGINT')
  }
  const [status] = (await ended) as [number | null]
  check('and ends well when it is interrupted', status, 0)
  check('with everything back', state(), before)
  check('and says so', lines.filter((line) => /^ {2}(done|undone) /.test(line)).length, 10)
}

reports()
heldByXdp()
refusals()
if (settable) {
  set()
  await heldByRing()
  await command()
} else nothingToSet()
ethtool.close()
netdev.close()
console.log(failed === 0 ? 'queue-setup: all as it should be' : `queue-setup: ${failed} not as it should be`)
process.exit(failed === 0 ? 0 : 1)
