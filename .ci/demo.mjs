// Checks the object that `zcrxd demo --json` prints: its fields, and that the run was a good one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

const [file, driver] = process.argv.slice(2)
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
  assert.equal(stack.zeroCopiedBytes + stack.copiedBytes, stack.bytes, 'bytes in place and copied')
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
if (driver === 'xdp') {
  assert.equal(report.copiedBytes, 0, 'copiedBytes')
  assert.equal(report.congestionControl, 'cubic')
  assert.equal(report.peer.congestionControl, 'cubic')
} else {
  assert.ok(
    report.fallback.reason.length > 0 && report.fallback.remedy.length > 0,
    'the fallback is explained',
  )
}
process.stdout.write(
  `${report.driver} (${report.mode}), MTU ${report.mtu}, ${report.flows} flows: ${report.gbps} Gbit/s, ` +
    `${report.cpuSecondsPerGB} CPU s/GB; node:net ${report.peer.gbps} Gbit/s, ${report.peer.cpuSecondsPerGB} CPU s/GB\n`,
)
