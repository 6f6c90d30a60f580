// Checks the object that `zcrxd demo --json` prints: its fields, and that the run was a good one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

const [file, driver, fallback] = process.argv.slice(2)
/** Ways in whose payload is copied into the area; what comes twice is copied twice. */
const copies = driver === 'packet' || driver === 'raw'
const report = JSON.parse(readFileSync(file, 'utf8'))

function checkStack(stack) {
  for (const field of ['driver', 'mode']) assert.equal(typeof stack[field], 'string', field)
  for (const field of ['mtu', 'flows', 'bytes', 'seconds', 'gbps', 'cpuSecondsPerGB', 'completions']) {
    assert.ok(stack[field] > 0, `${field} is ${stack[field]}`)
  }
  for (const count of Object.values(stack.drops)) assert.ok(count >= 0)
  for (const place of ['total', 'free', 'fill', 'rx', 'queued', 'user', 'lost']) {
    assert.equal(typeof stack.niovs[place], 'number', `niovs.${place}`)
  }
  const counted = stack.zeroCopiedBytes + stack.copiedBytes
  if (stack.driver === driver && copies) assert.ok(counted >= stack.bytes, 'bytes copied')
  else assert.equal(counted, stack.bytes, 'bytes in place and copied')
  assert.equal(stack.sha256Ok, true, 'sha256Ok')
  assert.ok(stack.samplesChecked > 0 && stack.samplesWrong === 0, 'sampled places')
  assert.deepEqual(stack.problems, [])
}

checkStack(report)
checkStack(report.peer)
assert.equal(report.ok, true)
assert.equal(report.driver, driver)
assert.equal(report.bytes, report.peer.bytes)
assert.equal(report.niovs.lost, 0)
const { total, free, fill, rx, queued, user } = report.niovs
assert.equal(free + fill + rx + queued + user, total, 'every niov is in one place')
if (fallback === undefined) assert.equal(report.fallback, undefined, 'no fallback')
if (driver !== 'memory') {
  assert.equal(copies ? report.zeroCopiedBytes : report.copiedBytes, 0, 'bytes in place, or copied')
  assert.equal(report.congestionControl, 'cubic')
  assert.equal(report.peer.congestionControl, 'cubic')
} else if (fallback !== undefined) {
  assert.ok(
    report.fallback.reason.length > 0 && report.fallback.remedy.length > 0,
    'the fallback is explained',
  )
}
process.stdout.write(
  `${report.driver} (${report.mode}), MTU ${report.mtu}, ${report.flows} flows: ${report.gbps} Gbit/s, ` +
    `${report.cpuSecondsPerGB} CPU s/GB; node:net ${report.peer.gbps} Gbit/s, ${report.peer.cpuSecondsPerGB} CPU s/GB\n`,
)
