/** Each example with a number, run as its first lines say: without arguments, over a wire in memory. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const FOLDER = join(import.meta.dirname, '../../dist/examples')
const NEEDS = 'it needs an interface: the first lines of this file say how it is called\n'

/** What they print; of those that are not here `two-threads.test.ts` and `zcrx-programs.test.ts` say more. */
const PRINTED: Readonly<Record<string, RegExp | string>> = {
  '01-receive.js': '5000000 bytes, ended with 0: 5000000 in place, 0 copied\n',
  '02-files.js': /192\.0\.2\.2-1\.bin: 3000000 bytes, 0 of them copied\n$/,
  '03-http.js': 'PUT /upload: 1000000 bytes from 192.0.2.2\nGET /: 0 bytes from 192.0.2.2\n',
  '04-tls.js': 'TLSv1.3, authorized: true, answer: a secret\n',
  '05-wasm.js': '100000 lines in 1500000 bytes, 0 copied\n',
  '06-client.js':
    '192.0.2.2 is connected to 192.0.2.1:9000\nanswer: hello, whoever you are\n' +
    'ECONNREFUSED of connect: connect ECONNREFUSED 192.0.2.1:1: nobody listens there\n',
  '07-two-threads.js': /copied 0 bytes, lost buffers 0\n$/,
  '08-ring.js': NEEDS,
  '09-zcrx-server.js': NEEDS,
  '10-zcrx-selftest.js': NEEDS,
  '11-capture-test.js': 'the stream is whole, and every packet was answered as expected\n',
  '12-custom-nic.js': '1000000 bytes arrived, though frames were dropped: true\n',
}

const compiled = existsSync(FOLDER)
if (!compiled) console.warn('examples are skipped: nothing is compiled: npm run build')

describe.skipIf(!compiled)('examples', () => {
  it('with a number are all named here', () => {
    const there = readdirSync(FOLDER).filter((name) => /^\d\d-.*\.js$/.test(name))
    expect(there.sort()).toEqual(Object.keys(PRINTED))
  })

  it.each(Object.entries(PRINTED))('%s prints what it says, and ends', async (name, printed) => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(FOLDER, name)], {
      timeout: 25_000,
    })
    if (typeof printed === 'string') expect(stdout).toBe(printed)
    else expect(stdout).toMatch(printed)
    expect(stderr).toBe('')
  })
})
