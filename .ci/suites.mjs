// Fails when a test that needs the addon, a way in, or tshark was skipped, or when there was none.
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const SUITES = [
  'test/driver/xdp/',
  'test/driver/tap/',
  'test/driver/packet/',
  'test/driver/raw/',
  'test/driver/guard/',
  'test/driver/native/',
  'test/daemon/',
  'test/e2e/',
  'test/e2e/matrix',
  'test/examples/',
  'test/workers/',
  'test/differential/',
  'test/pcap/',
  'test/replay/',
  'test/fuzz/',
]
let failed = false
for (const suite of SUITES) {
  const tests = report.testResults
    .filter((file) => relative(process.cwd(), file.name).startsWith(suite))
    .flatMap((file) => file.assertionResults)
  const skipped = tests.filter((test) => test.status !== 'passed')
  process.stdout.write(`${suite}: ${tests.length - skipped.length} of ${tests.length} tests ran and passed\n`)
  for (const test of skipped) process.stdout.write(`  ${test.status}: ${test.fullName}\n`)
  if (tests.length === 0 || skipped.length > 0) failed = true
}
const cells = report.testResults
  .filter((file) => relative(process.cwd(), file.name).startsWith('test/e2e/matrix'))
  .flatMap((file) => file.assertionResults)
const ran = cells.filter((cell) => cell.status === 'passed' || cell.status === 'failed').length
process.stdout.write(`matrix: ${ran} cells ran, ${cells.length - ran} skipped\n`)
if (failed) {
  process.stdout.write('tests that need the addon, AF_XDP or tshark did not run\n')
  process.exitCode = 1
}
