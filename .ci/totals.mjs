// Prints the totals of a vitest JSON report as one line.
import { readFileSync } from 'node:fs'

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'))
// A file that could not even be loaded has no failed test to its name.
const unloaded = report.testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.length === 0,
).length
const skipped = report.numPendingTests + report.numTodoTests
process.stdout.write(
  `${report.numPassedTests} passed, ${report.numFailedTests + unloaded} failed, ${skipped} skipped\n`,
)
