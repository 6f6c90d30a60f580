/**
 * Zero-copy receive of the stack's and of Linux's, compared: run in the machine of scripts/vm, whose zcnic has a queue for it.
 * npm run vm -- --mem 2G --zcnic -- node dist/test/vm/differential.js [RUNS [THEME...]]
 */
import { LinkSwitches } from '../../driver/setup/switches.ts'
import { main } from '../differential/cli.ts'

/** What a change is looked at with: in a minute; all of it takes twice as long. */
const THEMES = ['queue', 'query', 'exhaustion', 'refill', 'cancelZc', 'fullZc']

const { ZCRX_VM_RXQ: queue } = process.env
if (queue === undefined) {
  console.error(
    'this runs in the machine only: npm run vm -- --mem 2G --zcnic -- node dist/test/vm/differential.js',
  )
  process.exit(2)
}
const [runs = '6', ...named] = process.argv.slice(2)
const themes = named.length > 0 ? named : THEMES
const output = {
  out: (text: string) => void process.stdout.write(text),
  err: (text: string) => void process.stderr.write(text),
}

// Where the NIC has settings, everything comes to the queue by them.
const switches = LinkSwitches.open('zc0', undefined)
const table = switches.indirection()
if (table !== null) {
  switches.setDataSplit('on')
  switches.setSplitThreshold(0)
  switches.setIndirection(table.map(() => Number(queue)))
}
switches.close()

const scenarios = main(
  themes.flatMap((theme) => ['--scenario', `${theme}.`]),
  output,
)
const random = main(['--seed', '1', '--runs', runs], output)
process.exitCode = Math.max(scenarios, random)
