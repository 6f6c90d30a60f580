import {
  checkArray,
  checkBoolean,
  checkBytes,
  checkInteger,
  checkNumber,
  checkObject,
  checkOneOf,
  checkString,
  checkThat,
} from '../check.ts'
import type { IpFields } from './ip.ts'
import { type LinkName, linkTypes } from './link.ts'
import type { Side } from './pattern.ts'
import type { PacketsOptions, SegmentSpec } from './spec.ts'

const SIDES: readonly Side[] = ['client', 'server']
const CHECKSUMS = ['good', 'bad', 'partial']
const LINKS = Object.keys(linkTypes) as LinkName[]
const WORD = 2 ** 32 - 1
/** More would not be a capture of anything. */
const MOST_DATA = 2 ** 24
/** A hundred years, in microseconds. */
const LONGEST = 3.2e15
const MOST_EXTENSIONS = 64
const VLAN_IDS = 4095

/** @throws ArgumentError */
export function checkSide(name: string, value: unknown): void {
  checkOneOf(name, value, SIDES)
}

/** @param us microseconds @throws ArgumentError */
export function checkPause(name: string, us: unknown): void {
  checkNumber(name, us, 0, LONGEST)
}

/** @throws ArgumentError */
export function checkPacketsOptions(options: PacketsOptions): void {
  checkObject('options', options)
  for (const side of SIDES) {
    checkThat(side, options[side], typeof options[side] === 'string', '192.0.2.1:80 or [2001:db8::1]:80')
  }
  checkNumber('start', options.start, 0, WORD)
  checkPause('step', options.step)
  for (const name of ['isn', 'clock'] as const) {
    const both = options[name]
    if (both === undefined) continue
    checkObject(name, both)
    for (const side of SIDES) checkInteger(`${name}.${side}`, both[side], 0, WORD)
  }
  checkInteger('window', options.window, 0, 0xffff)
  checkOneOf('link', options.link, LINKS)
  checkArray('vlan', options.vlan, 16, (name, id) => checkInteger(name, id, 0, VLAN_IDS))
  checkInteger('pppoe', options.pppoe, 0, 0xffff)
  checkOneOf('checksum', options.checksum, CHECKSUMS)
  if (options.ip === undefined) return
  checkObject('ip', options.ip)
  checkIpFields(options.ip, 'ip.')
}

/** @throws ArgumentError */
export function checkSegment(from: Side, spec: SegmentSpec): void {
  checkThat('side', from, SIDES.includes(from), 'client or server')
  checkObject('the segment', spec)
  checkData('data', spec.data)
  checkInteger('seq', spec.seq, -(2 ** 31), WORD)
  checkInteger('ack', spec.ack, -(2 ** 31), WORD)
  checkString('flags', spec.flags)
  checkInteger('window', spec.window, 0, 0xffff)
  checkInteger('urgent', spec.urgent, 0, 0xffff)
  checkInteger('mss', spec.mss, 0, 0xffff)
  checkBoolean('sackPermitted', spec.sackPermitted)
  checkInteger('windowScale', spec.windowScale, 0, 0xff)
  checkPairs('timestamps', spec.timestamps, 0)
  checkPairs('sack', spec.sack, 1)
  checkBytes('options', spec.options)
  checkInteger('dataOffset', spec.dataOffset, 0, 60)
  checkOneOf('checksum', spec.checksum, CHECKSUMS)
  checkPause('after', spec.after)
  checkString('comment', spec.comment)
  checkIpFields(spec, '')
}

/** @throws ArgumentError */
export function checkData(name: string, value: unknown): void {
  if (value === undefined || typeof value === 'string' || value instanceof Uint8Array) return
  const bytes = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_DATA
  checkThat(name, value, bytes, `a text, a Uint8Array, or a number of bytes from 0 to ${MOST_DATA}`)
}

/** True, false, or so many levels of arrays around pairs of numbers. */
function checkPairs(name: string, value: unknown, levels: number): void {
  if (value === undefined || typeof value === 'boolean') return
  if (levels > 0) {
    checkArray(name, value, 4, (each, pair) => checkPairs(each, pair, levels - 1))
    return
  }
  checkThat(name, value, Array.isArray(value) && value.length === 2, 'two numbers, true or false')
  checkArray(name, value, 2, (each, number) => checkInteger(each, number, -(2 ** 31), WORD))
}

function checkIpFields(fields: IpFields, prefix: string): void {
  checkInteger(`${prefix}ttl`, fields.ttl, 0, 0xff)
  checkInteger(`${prefix}trafficClass`, fields.trafficClass, 0, 0xff)
  checkInteger(`${prefix}flowLabel`, fields.flowLabel, 0, 0xf_ffff)
  checkInteger(`${prefix}identification`, fields.identification, 0, WORD)
  checkBoolean(`${prefix}dontFragment`, fields.dontFragment)
  checkInteger(`${prefix}ipLength`, fields.ipLength, 0, 0xffff)
  checkBytes(`${prefix}ipOptions`, fields.ipOptions, 0, 40, 4)
  checkArray(`${prefix}extensions`, fields.extensions, MOST_EXTENSIONS, (name, extension) => {
    const pair = extension as readonly unknown[]
    checkThat(name, extension, Array.isArray(pair) && pair.length === 2, 'a next header value and bytes')
    checkInteger(`${name}[0]`, pair[0], 0, 0xff)
    checkThat(`${name}[0]`, pair[0], pair[0] !== undefined, 'a next header value')
    checkThat(`${name}[1]`, pair[1], pair[1] instanceof Uint8Array && pair[1].length > 0, 'bytes')
  })
}
