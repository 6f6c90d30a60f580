// Run in a folder that installed the package, with every version of Node: each entry point, and a transfer over a link in memory.
import { createHash, randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'

const entries = process.argv.slice(2)
const require = createRequire(import.meta.url)
const [major, minor] = process.versions.node.split('.').map(Number)
const requires = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)

const check = (fine, what) => {
  if (!fine) throw new Error(what)
}

for (const entry of entries) {
  const imported = await import(entry)
  check(Object.keys(imported).length > 0, `${entry} exports nothing`)
  let required
  try {
    required = require(entry)
  } catch (error) {
    check(!requires, `require('${entry}') throws ${error.stack}`)
    const told = error.code === 'ERR_REQUIRE_ESM' && error.message.includes(`await import('${entry}')`)
    check(told, `require('${entry}') does not say what to do: ${error.message}`)
    continue
  }
  for (const name of Object.keys(imported)) {
    check(required[name] === imported[name], `${name} of require('${entry}') is another one`)
  }
}

const { connect, createServer, MemoryLink } = await import('zcrx')
const { loadNative } = await import('zcrx/driver')
check(typeof loadNative().poll === 'function', 'the addon does not load')

const sent = randomBytes(300_000)
const link = new MemoryLink({ seed: 3 })
const server = await createServer({ device: link.b, address: '192.0.2.1', ownAddress: true, port: 9000 })
const client = await connect({
  device: link.a,
  address: '192.0.2.2',
  ownAddress: true,
  host: '192.0.2.1',
  port: 9000,
})
await client.send(sent)
client.end()
const digest = createHash('sha256')
for await (const connection of server) {
  for await (const chunk of connection) digest.update(chunk.bytes)
  break
}
client.close()
await server.close()
const same = digest.digest('hex') === createHash('sha256').update(sent).digest('hex')
check(same, 'what arrived is not what was sent')
console.log(
  `${entries.length} entry points, require() ${requires ? 'too' : 'says what to do'}; ${sent.length} bytes arrived`,
)
