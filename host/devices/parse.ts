import { IpAddress } from '../../address.ts'
import { type DeviceDriver, DeviceError, type DeviceSpec } from './spec.ts'

const FORMS: Readonly<Record<DeviceDriver, string>> = {
  xdp: 'xdp:INTERFACE[/QUEUE[-LAST]][?mode=auto|native|generic|zerocopy&copy=auto|copy|zerocopy&netns=NAME]',
  tap: 'tap:NAME[?persist=yes|no&queues=one|many&mtu=BYTES&offload=on|off&netns=NAME]',
  packet: 'packet:INTERFACE[?fanout=GROUP&guard=auto|socket|nftables&netns=NAME]',
  raw: 'raw:ADDRESS',
  memory: 'memory:[NAME][?mtu=BYTES]',
  pcap: 'pcap:FILE',
  auto: 'auto:INTERFACE[/QUEUE][?netns=NAME]',
}

/** Reads a device string. @throws DeviceError that shows where it is wrong */
export function parseDevice(text: string): DeviceSpec {
  const colon = text.indexOf(':')
  const driver = text.slice(0, Math.max(0, colon))
  if (colon < 0 || !Object.hasOwn(FORMS, driver)) {
    const what = colon < 0 ? 'a driver and a colon come first' : `there is no driver "${driver}"`
    throw new DeviceError(text, 0, what, `take one of ${Object.keys(FORMS).join(', ')}, as in xdp:eth0`)
  }
  const reader = new Reader(text, driver as DeviceDriver)
  switch (driver as DeviceDriver) {
    case 'xdp':
      return reader.xdp()
    case 'tap':
      return reader.tap()
    case 'packet':
      return reader.packet()
    case 'raw':
      return reader.raw()
    case 'memory':
      return reader.memory()
    case 'pcap':
      return reader.pcap()
    case 'auto':
      return reader.auto()
  }
}

interface Setting {
  readonly value: string
  /** Where the value begins. */
  readonly at: number
}

/** One device string whose driver is known. */
class Reader {
  readonly #text: string
  readonly #driver: DeviceDriver
  /** Where what follows the driver begins, and where the settings do. */
  readonly #from: number
  readonly #end: number

  constructor(text: string, driver: DeviceDriver) {
    this.#text = text
    this.#driver = driver
    this.#from = driver.length + 1
    const question = text.indexOf('?', this.#from)
    this.#end = question < 0 ? text.length : question
  }

  xdp(): DeviceSpec {
    const { name, first, last } = this.#interface(true)
    const settings = this.#settings('mode', 'copy', 'netns')
    const mode = this.#choice(settings, 'mode', ['auto', 'native', 'generic', 'zerocopy'] as const, 'auto')
    const copy = this.#choice(settings, 'copy', ['auto', 'copy', 'zerocopy'] as const, 'auto')
    if (mode === 'zerocopy' && copy === 'copy')
      throw this.#wrong(settings.get('copy')!.at, 'mode=zerocopy is the contrary of copy=copy')
    return {
      driver: 'xdp',
      name,
      queue: first,
      queues: last - first + 1,
      mode: mode === 'zerocopy' ? 'native' : mode,
      copy: mode === 'zerocopy' ? 'zerocopy' : copy,
      ...this.#netns(settings),
    }
  }

  tap(): DeviceSpec {
    const { name } = this.#interface(false)
    const settings = this.#settings('persist', 'queues', 'mtu', 'offload', 'netns')
    const persist = this.#choice(settings, 'persist', ['yes', 'no'] as const, null)
    const queues = this.#choice(settings, 'queues', ['one', 'many'] as const, null)
    return {
      driver: 'tap',
      name,
      ...(persist === null ? {} : { persist: persist === 'yes' }),
      ...(queues === null ? {} : { multiQueue: queues === 'many' }),
      offload: this.#choice(settings, 'offload', ['on', 'off'] as const, 'on') === 'on',
      mtu: this.#number(settings, 'mtu', 68, 65_521) ?? 0,
      ...this.#netns(settings),
    }
  }

  packet(): DeviceSpec {
    const { name } = this.#interface(false)
    const settings = this.#settings('fanout', 'guard', 'netns')
    const fanout = this.#number(settings, 'fanout', 0, 65_535)
    return {
      driver: 'packet',
      name,
      ...(fanout === null ? {} : { fanout }),
      guard: this.#choice(settings, 'guard', ['auto', 'socket', 'nftables'] as const, 'auto'),
      ...this.#netns(settings),
    }
  }

  raw(): DeviceSpec {
    const address = this.#text.slice(this.#from, this.#end)
    this.#settings()
    if (IpAddress.parse(address) === null)
      throw this.#wrong(this.#from, `"${address}" is no IP address of this machine`)
    return { driver: 'raw', address }
  }

  memory(): DeviceSpec {
    const name = this.#text.slice(this.#from, this.#end)
    const settings = this.#settings('mtu')
    return { driver: 'memory', name, mtu: this.#number(settings, 'mtu', 576, 65_535) ?? 1500 }
  }

  pcap(): DeviceSpec {
    const file = this.#text.slice(this.#from)
    if (file === '') throw this.#wrong(this.#from, 'no file is named')
    return { driver: 'pcap', file }
  }

  auto(): DeviceSpec {
    const { name, first, last, queueAt } = this.#interface(true)
    if (last !== first) throw this.#wrong(queueAt, 'auto takes one queue')
    return { driver: 'auto', name, queue: first, ...this.#netns(this.#settings('netns')) }
  }

  #wrong(at: number, message: string): DeviceError {
    return new DeviceError(this.#text, at, message, `write ${FORMS[this.#driver]}`)
  }

  /** An interface, with a queue or a range of queues where the driver has any. */
  #interface(queues: boolean): { name: string; first: number; last: number; queueAt: number } {
    const slash = this.#text.indexOf('/', this.#from)
    const end = slash < 0 || slash > this.#end ? this.#end : slash
    const name = this.#text.slice(this.#from, end)
    if (name === '') throw this.#wrong(this.#from, 'no interface is named')
    // IFNAMSIZ is 16 with the final NUL; the kernel refuses slashes, colons and white space.
    const bad = /[\s:]/.exec(name)
    if (bad !== null)
      throw this.#wrong(this.#from + bad.index, 'no interface has such a character in its name')
    if (Buffer.byteLength(name) > 15)
      throw this.#wrong(this.#from + 15, 'the name of an interface has at most 15 bytes')
    if (end === this.#end) return { name, first: 0, last: 0, queueAt: end }
    if (!queues) throw this.#wrong(end, `${this.#driver}: has no queue numbers`)
    const queueAt = end + 1
    const text = this.#text.slice(queueAt, this.#end)
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
    if (match === null) {
      const where = /^\d{0,5}(?:-\d{0,5})?/.exec(text)![0].length
      throw this.#wrong(
        queueAt + Math.min(where, Math.max(0, text.length - 1)),
        'a queue is a number, several are a range such as 0-3',
      )
    }
    const first = Number(match[1])
    const last = match[2] === undefined ? first : Number(match[2])
    if (last < first) throw this.#wrong(queueAt, 'the range of queues ends before it begins')
    return { name, first, last, queueAt }
  }

  #settings(...known: string[]): Map<string, Setting> {
    const settings = new Map<string, Setting>()
    let at = this.#end + 1
    if (at > this.#text.length) return settings
    for (const part of this.#text.slice(at).split('&')) {
      const equals = part.indexOf('=')
      const key = equals < 0 ? part : part.slice(0, equals)
      if (!known.includes(key)) {
        const list = known.length === 0 ? 'there are none' : `there are ${known.join(', ')}`
        throw this.#wrong(at, `"${key}" is no setting of ${this.#driver}: ${list}`)
      }
      if (equals < 0) throw this.#wrong(at + key.length, `${key} has no value`)
      if (settings.has(key)) throw this.#wrong(at, `${key} is said twice`)
      settings.set(key, { value: part.slice(equals + 1), at: at + equals + 1 })
      at += part.length + 1
    }
    return settings
  }

  #choice<T extends string, D extends T | null>(
    settings: Map<string, Setting>,
    key: string,
    choices: readonly T[],
    otherwise: D,
  ): T | D {
    const setting = settings.get(key)
    if (setting === undefined) return otherwise
    const { value, at } = setting
    if ((choices as readonly string[]).includes(value)) return value as T
    throw this.#wrong(at, `${key} is one of ${choices.join(', ')}, not "${value}"`)
  }

  #number(settings: Map<string, Setting>, key: string, least: number, most: number): number | null {
    const setting = settings.get(key)
    if (setting === undefined) return null
    const { value, at } = setting
    const number = Number(value)
    if (/^\d+$/.test(value) && number >= least && number <= most) return number
    throw this.#wrong(at, `${key} is a number from ${least} to ${most}`)
  }

  /** A name under /run/netns, as ip(8) has it, or a path. */
  #netns(settings: Map<string, Setting>): { netns?: string } {
    const setting = settings.get('netns')
    if (setting === undefined) return {}
    const { value, at } = setting
    if (value === '') throw this.#wrong(at, 'no network namespace is named')
    return { netns: value.includes('/') ? value : `/run/netns/${value}` }
  }
}
