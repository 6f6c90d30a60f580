/**
 * TLS over connections of zcrx, by Node's own implementation: a server that answers with what it was sent, and a client.
 *
 *     node 04-tls.js                      over a wire in memory, with a client of its own
 *     node 04-tls.js xdp:eth0 8443        and on another machine: openssl s_client -connect ADDRESS:8443
 */
import { once } from 'node:events'
import tls from 'node:tls'
import { createServer } from 'zcrx'
import { placeOf } from './place.ts'

/** Of this example alone: everybody has the key. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7rphAj5CPZKluYZ5
zEjz1YM1bjigD4155pSkgSc1TauhRANCAATz7cG/xBJj8Z47wij0gBn92WOKkoxN
3wZakfzCgLMRC/G+XYF7Rk4i7cagn9fpEr2fV6uQaLT6Im2/7qy/shHI
-----END PRIVATE KEY-----
`
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUVuL080mqqv+FoGhYd+YkCOjSthUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJemNyeC50ZXN0MCAXDTI2MTIwMTAyMDg1MFoYDzIxMjYxMTA3
MDIwODUwWjAUMRIwEAYDVQQDDAl6Y3J4LnRlc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATz7cG/xBJj8Z47wij0gBn92WOKkoxN3wZakfzCgLMRC/G+XYF7Rk4i
7cagn9fpEr2fV6uQaLT6Im2/7qy/shHIo1MwUTAdBgNVHQ4EFgQUg2HvZM8Z0e7V
Y3NE7Od2Ub2OW0owHwYDVR0jBBgwFoAUg2HvZM8Z0e7VY3NE7Od2Ub2OW0owDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiA4h/8dRBLLEDaJ2g+bdHZp
Rbt7ZIxKYwsGgT6yTRRSyQIgZJ8HzRFCRUlI8EG9rFd7WMTFNAhdXwEPTfliZY+K
QTQ=
-----END CERTIFICATE-----
`

const place = await placeOf(process.argv.slice(2))
const server = await createServer({ ...place.options, port: place.port })
server.on('connection', (connection) => {
  const secure = new tls.TLSSocket(connection.toNode(), { isServer: true, key: KEY, cert: CERTIFICATE })
  secure.on('error', (error) => console.error(error.message)).pipe(secure)
})

if (place.peer !== null) {
  const connection = await place.peer()
  const secure = tls.connect({ socket: connection.toNode(), ca: CERTIFICATE, servername: 'zcrx.test' })
  await once(secure, 'secureConnect')
  secure.write('a secret')
  const [answer] = await once(secure, 'data')
  console.log(`${secure.getProtocol()}, authorized: ${secure.authorized}, answer: ${answer}`)
  secure.end()
  await connection.closed
  await place.close()
  await server.close()
}
