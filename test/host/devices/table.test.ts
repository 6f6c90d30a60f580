import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { DEVICES, kindOf } from '../../../host/devices/table.ts'

it('the page of devices shows the form of every kind', () => {
  const page = readFileSync(new URL('../../../docs/devices.md', import.meta.url), 'utf8')
  const forms = /```text\n([^`]*)```/.exec(page)![1]!.trimEnd().split('\n')
  expect(forms).toEqual(DEVICES.map(({ form }) => form))
})

it('a kind is found by its scheme, and by nothing that objects have besides', () => {
  for (const kind of DEVICES) expect(kindOf(kind.scheme)).toBe(kind)
  for (const none of ['', 'constructor', '__proto__', 'XDP']) expect(kindOf(none)).toBeUndefined()
})
