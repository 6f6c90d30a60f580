import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }
export type JsonObject = { readonly [key: string]: Json }

/** One scenario of a record: what was done, and what came back. README.md of the record describes the format. */
export interface Scenario {
  /** `group.case` */
  readonly name: string
  /** Plain words. */
  readonly what: string
  readonly setup: JsonObject
  readonly steps: readonly JsonObject[]
  readonly result: JsonObject
  /** False where the runs of the recording differ. */
  readonly sameInAllRuns: boolean
  /** Keys of `result` that differ between the runs. */
  readonly varying: readonly string[]
}

/** A file that is no record. */
export class FormatError extends Error {}

const FORMAT = /^zcrx-kernel-record-\d+$/

/** Reads a record. @throws FormatError */
export function loadRecord(path: string): Scenario[] {
  return parseRecord(readFileSync(path, 'utf8'), path)
}

/** @param name for messages @throws FormatError */
export function parseRecord(text: string, name: string): Scenario[] {
  let json: Json
  try {
    json = JSON.parse(text) as Json
  } catch (error) {
    throw new FormatError(`${name}: ${(error as Error).message}`)
  }
  const list = isObject(json) ? json.scenarios : json
  if (isObject(json) && json.format !== undefined && !FORMAT.test(String(json.format)))
    throw new FormatError(`${name}: format "${String(json.format)}" is not known`)
  if (!Array.isArray(list)) throw new FormatError(`${name}: no list of scenarios`)
  return list.map((entry, at) => scenarioOf(entry as Json, `${name}: scenario ${at}`))
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function scenarioOf(entry: Json, at: string): Scenario {
  if (!isObject(entry) || typeof entry.name !== 'string') throw new FormatError(`${at} has no name`)
  const { name, what = '', setup, steps, result } = entry
  if (steps !== undefined && (!Array.isArray(steps) || !steps.every(isObject)))
    throw new FormatError(`${at} (${name}): steps is no list of objects`)
  return {
    name,
    what: String(what),
    setup: isObject(setup) ? setup : {},
    steps: (steps ?? []) as readonly JsonObject[],
    result: isObject(result) ? result : {},
    sameInAllRuns: entry.same_in_all_runs !== false,
    varying: (entry.result_keys_that_vary as readonly string[] | undefined) ?? [],
  }
}

/** The number behind a key, or `otherwise` where there is none. */
export function numberOf(object: JsonObject, key: string, otherwise: number): number {
  const value = object[key]
  if (typeof value === 'number') return value
  if (typeof value === 'string' && /^0x[0-9a-f]+$/i.test(value)) return Number(value)
  return otherwise
}

/** The checked-in record, seen from the sources or from what was compiled. */
export function ownRecord(): string {
  const path = join('test', 'conformance', 'kernel-zcrx.json')
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, path)) || at === dirname(at)) return join(at, path)
  }
}
