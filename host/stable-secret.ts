import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { SECRET_BYTES } from '../stack/ip/interface-id.ts'

const NAME = 'address-secret'

export interface StableSecret {
  /** Sixteen bytes. */
  readonly secret: Uint8Array
  /** Why they are not the same the next time; empty when they are. */
  readonly trouble: string
}

/**
 * Where the secret is kept when nobody says: in `$STATE_DIRECTORY` (systemd.exec(5)), else in `$XDG_STATE_HOME/zcrx`, else in
 * `/var/lib/zcrx`.
 */
export function secretFile(environment: NodeJS.ProcessEnv = process.env): string {
  const { STATE_DIRECTORY = '', XDG_STATE_HOME = '' } = environment
  // Several are separated by colons.
  const [state = ''] = STATE_DIRECTORY.split(':')
  if (state !== '') return join(state, NAME)
  return XDG_STATE_HOME === '' ? join('/var/lib/zcrx', NAME) : join(XDG_STATE_HOME, 'zcrx', NAME)
}

/**
 * The secret of addresses that are to stay the same (RFC 7217): from the system's random source, kept in a file that only its
 * owner reads. Where it can't be kept, it is new with every start. Does not throw.
 */
export function stableSecret(path: string = secretFile()): StableSecret {
  try {
    return { secret: readSecret(path) ?? makeSecret(path), trouble: '' }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const trouble = `${path} can't keep the secret of stable addresses (${code ?? message}): they change with every start`
    return { secret: randomBytes(SECRET_BYTES), trouble }
  }
}

/** Null when there is none yet. @throws when it is not one, or not secret */
function readSecret(path: string): Uint8Array | null {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let fd: number
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw new Error('it is no file')
    if (stats.uid !== process.geteuid?.() && stats.uid !== 0) throw new Error('it is of another user')
    if ((stats.mode & 0o077) !== 0) throw new Error('others may read it: chmod 600')
    const text = Buffer.alloc(2 * SECRET_BYTES)
    const length = readSync(fd, text)
    if (length < text.length || !/^[0-9a-f]+$/.test(text.toString('latin1')))
      throw new Error('it holds no secret: remove it')
    return Buffer.from(text.toString('latin1'), 'hex')
  } finally {
    closeSync(fd)
  }
}

/** Whoever is first keeps its own; others read that. @throws the errors of the system */
function makeSecret(path: string): Uint8Array {
  const directory = dirname(path)
  try {
    // Not recursive: what is to lie in a place that does not exist is a mistake.
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const secret = randomBytes(SECRET_BYTES)
  const fresh = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`
  const fd = openSync(fresh, 'wx', 0o600)
  try {
    writeSync(fd, `${secret.toString('hex')}\n`)
    fsyncSync(fd)
    // Complete at once, and never in the place of another.
    linkSync(fresh, path)
    return secret
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const theirs = readSecret(path)
    if (theirs === null) throw error
    return theirs
  } finally {
    closeSync(fd)
    unlinkSync(fresh)
  }
}
