import { DeviceError } from '../../errors.ts'

export interface Setting {
  readonly value: string
  /** Where the value begins. */
  readonly at: number
}

/** One device string whose driver is known, read from left to right. Whatever is wrong is a `DeviceError`. */
export class DeviceText {
  readonly #text: string
  readonly #scheme: string
  readonly #form: string
  /** Where what follows the driver begins, and where the settings do. */
  readonly #from: number
  readonly #end: number

  constructor(text: string, kind: { readonly scheme: string; readonly form: string }) {
    this.#text = text
    this.#scheme = kind.scheme
    this.#form = kind.form
    this.#from = kind.scheme.length + 1
    const question = text.indexOf('?', this.#from)
    this.#end = question < 0 ? text.length : question
  }

  /** What stands between the colon and the settings. */
  get name(): string {
    return this.#text.slice(this.#from, this.#end)
  }

  /** All behind the colon, question marks too. */
  get rest(): string {
    return this.#text.slice(this.#from)
  }

  /** @param at characters from the beginning of the string; default behind the colon */
  wrong(message: string, at: number = this.#from): DeviceError {
    return new DeviceError(this.#text, at, message, `write ${this.#form}`)
  }

  /** An interface, with a queue or a range of queues where the driver has any. */
  interface(queues: boolean): { name: string; first: number; last: number; queueAt: number } {
    const slash = this.#text.indexOf('/', this.#from)
    const end = slash < 0 || slash > this.#end ? this.#end : slash
    const name = this.#text.slice(this.#from, end)
    if (name === '') throw this.wrong('no interface is named')
    // IFNAMSIZ is 16 with the final NUL; the kernel refuses slashes, colons and white space.
    const bad = /[\s:]/.exec(name)
    if (bad !== null)
      throw this.wrong('no interface has such a character in its name', this.#from + bad.index)
    if (Buffer.byteLength(name) > 15)
      throw this.wrong('the name of an interface has at most 15 bytes', this.#from + 15)
    if (end === this.#end) return { name, first: 0, last: 0, queueAt: end }
    if (!queues) throw this.wrong(`${this.#scheme}: has no queue numbers`, end)
    const queueAt = end + 1
    const text = this.#text.slice(queueAt, this.#end)
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
    if (match === null) {
      const where = /^\d{0,5}(?:-\d{0,5})?/.exec(text)![0].length
      throw this.wrong(
        'a queue is a number, several are a range such as 0-3',
        queueAt + Math.min(where, Math.max(0, text.length - 1)),
      )
    }
    const first = Number(match[1])
    const last = match[2] === undefined ? first : Number(match[2])
    if (last < first) throw this.wrong('the range of queues ends before it begins', queueAt)
    return { name, first, last, queueAt }
  }

  settings(...known: string[]): Map<string, Setting> {
    const settings = new Map<string, Setting>()
    let at = this.#end + 1
    if (at > this.#text.length) return settings
    for (const part of this.#text.slice(at).split('&')) {
      const equals = part.indexOf('=')
      const key = equals < 0 ? part : part.slice(0, equals)
      if (!known.includes(key)) {
        const list = known.length === 0 ? 'there are none' : `there are ${known.join(', ')}`
        throw this.wrong(`"${key}" is no setting of ${this.#scheme}: ${list}`, at)
      }
      if (equals < 0) throw this.wrong(`${key} has no value`, at + key.length)
      if (settings.has(key)) throw this.wrong(`${key} is said twice`, at)
      settings.set(key, { value: part.slice(equals + 1), at: at + equals + 1 })
      at += part.length + 1
    }
    return settings
  }

  choice<T extends string, D extends T | null>(
    settings: Map<string, Setting>,
    key: string,
    choices: readonly T[],
    otherwise: D,
  ): T | D {
    const setting = settings.get(key)
    if (setting === undefined) return otherwise
    const { value, at } = setting
    if ((choices as readonly string[]).includes(value)) return value as T
    throw this.wrong(`${key} is one of ${choices.join(', ')}, not "${value}"`, at)
  }

  number(settings: Map<string, Setting>, key: string, least: number, most: number): number | null {
    const setting = settings.get(key)
    if (setting === undefined) return null
    const { value, at } = setting
    const number = Number(value)
    if (/^\d+$/.test(value) && number >= least && number <= most) return number
    throw this.wrong(`${key} is a number from ${least} to ${most}`, at)
  }

  /** A name under /run/netns, as ip(8) has it, or a path. */
  netns(settings: Map<string, Setting>): { netns?: string } {
    const setting = settings.get('netns')
    if (setting === undefined) return {}
    const { value, at } = setting
    if (value === '') throw this.wrong('no network namespace is named', at)
    return { netns: value.includes('/') ? value : `/run/netns/${value}` }
  }
}

/** The settings of a device string, with the `?`; empty when there are none. */
export function settingsText({ netns }: { readonly netns?: string }, more: readonly string[] = []): string {
  const all = netns === undefined ? more : [...more, `netns=${netns}`]
  return all.length === 0 ? '' : `?${all.join('&')}`
}

/** The device string with a setting more. */
export function withSetting(text: string, setting: string): string {
  return `${text}${text.includes('?') ? '&' : '?'}${setting}`
}
