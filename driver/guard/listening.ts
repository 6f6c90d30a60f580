import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'

/** TCP_LISTEN as /proc/net/tcp has it (proc(5)). */
const LISTEN = '0A'

/**
 * Whether a service of the machine listens at an address (network order) and port, in the network namespace that the thread is
 * in; of the IPv6 wildcard nobody knows whether it leaves IPv4 out, so it counts. @param read the text of a file under /proc
 */
export function isListening(
  address: Uint8Array,
  port: number,
  read: (path: string) => string = text,
): boolean {
  const wanted = hexOf(address)
  const files = address.length === 4 ? ['tcp', 'tcp6'] : ['tcp6']
  return files.some((file) =>
    read(`/proc/thread-self/net/${file}`)
      .split('\n')
      .slice(1)
      .some((line) => {
        const [, local = '', , state] = line.trim().split(/\s+/)
        const [at = '', of = ''] = local.split(':')
        return state === LISTEN && Number.parseInt(of, 16) === port && (at === wanted || /^0+$/.test(at))
      }),
  )
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // A kernel without IPv6 has no such table.
    return ''
  }
}

/** As the kernel prints it: words of 32 bits in the machine's order. */
function hexOf(address: Uint8Array): string {
  const bytes = Buffer.from(address)
  if (endianness() === 'LE') bytes.swap32()
  return bytes.toString('hex').toUpperCase()
}
