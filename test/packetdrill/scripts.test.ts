import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runText } from '../../packetdrill/cli.ts'
import { reportLine } from '../../packetdrill/report.ts'

const FOLDER = import.meta.dirname

const scripts = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.pkt'))
  .sort()

describe('scripts', () => {
  it.each(scripts)('%s', (name) => {
    const reports = runText(name, readFileSync(join(FOLDER, name), 'utf8'))
    const bad = reports.filter(({ result }) => {
      const notServed = result.outcome === 'skip' && result.message === 'IPv6 not served'
      return result.outcome !== 'pass' && !notServed
    })
    expect(bad.map(reportLine)).toEqual([])
  })

  it('are named after what they test', () => {
    expect(scripts.length).toBeGreaterThan(20)
    expect(scripts.filter((name) => !/^(?:[\w-]+\/)?rfc\d+-[\w.]+-[\w-]+\.pkt$/.test(name))).toEqual([])
  })
})
