import { ArgumentError } from '../errors.ts'

/** What callers hand in, checked before anything is done with it. What is undefined was not given, and passes. */

const SHOWN = 60

/** @throws ArgumentError that names the option */
function refuse(name: string, value: unknown, wanted: string): never {
  throw new ArgumentError(`${name} is ${show(value)}`, `give ${wanted}`)
}

function show(value: unknown): string {
  let text: string
  if (typeof value === 'string') text = `"${value}"`
  else if (Array.isArray(value)) text = `[${value.map(show).join(', ')}]`
  else if (ArrayBuffer.isView(value)) text = `${value.byteLength} bytes`
  else if (typeof value === 'object' && value !== null) text = 'an object'
  else if (typeof value === 'function') text = 'a function'
  else text = String(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

/** @throws ArgumentError unless it is a whole number of this range */
export function checkInteger(name: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return
  const whole = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
  if (!whole) refuse(name, value, `a whole number from ${least} to ${most}`)
}

/** @throws ArgumentError unless it is a number of this range */
export function checkNumber(name: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return
  if (!(typeof value === 'number' && value >= least && value <= most))
    refuse(name, value, `a number from ${least} to ${most}`)
}

/** @throws ArgumentError */
export function checkOneOf(name: string, value: unknown, choices: readonly string[]): void {
  if (value === undefined || choices.includes(value as string)) return
  refuse(name, value, `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`)
}

/** @throws ArgumentError */
export function checkBoolean(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') refuse(name, value, 'true or false')
}

/** @throws ArgumentError */
export function checkString(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'string') refuse(name, value, 'a text')
}

/** @throws ArgumentError */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') refuse(name, value, 'a function')
}

/** @param multiple of bytes @throws ArgumentError */
export function checkBytes(name: string, value: unknown, least = 0, most = 2 ** 31, multiple = 1): void {
  if (value === undefined) return
  const good =
    value instanceof Uint8Array &&
    value.length >= least &&
    value.length <= most &&
    value.length % multiple === 0
  if (good) return
  const range = least === most ? `${least} bytes` : `${least} to ${most} bytes`
  refuse(name, value, `a Uint8Array of ${range}${multiple > 1 ? `, a multiple of ${multiple}` : ''}`)
}

/** @throws ArgumentError unless it is an object, and no array; undefined is none either */
export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(name, value, 'an object')
}

/** @param each checks an element, by its name @throws ArgumentError */
export function checkArray(
  name: string,
  value: unknown,
  most: number,
  each: (name: string, value: unknown) => void,
): void {
  if (value === undefined) return
  if (!Array.isArray(value) || value.length > most) refuse(name, value, `an array of at most ${most}`)
  for (const [i, element] of value.entries()) {
    if (element === undefined) refuse(`${name}[${i}]`, element, 'a value')
    each(`${name}[${i}]`, element)
  }
}

/** @param what is wanted @throws ArgumentError unless the value is given and good */
export function checkThat(name: string, value: unknown, good: boolean, what: string): void {
  if (!good) refuse(name, value, what)
}

/** An AbortSignal, of whatever realm. @throws ArgumentError */
export function checkSignal(name: string, value: unknown): void {
  if (value === undefined) return
  const signal = value as AbortSignal | null
  const good = typeof signal === 'object' && signal !== null && typeof signal.addEventListener === 'function'
  if (!good || typeof signal.aborted !== 'boolean') refuse(name, value, 'an AbortSignal')
}

/** What takes the bytes of a file. @throws ArgumentError; undefined is none */
export function checkSink(name: string, value: unknown): void {
  const sink = value as { write?: unknown; close?: unknown } | null | undefined
  const writes = typeof sink === 'object' && sink !== null && typeof sink.write === 'function'
  if (!writes || (sink.close !== undefined && typeof sink.close !== 'function'))
    refuse(name, value, 'an object with write(bytes), as FileSink and MemorySink are')
}
