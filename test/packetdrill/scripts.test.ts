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
    expect(reports.filter(({ result }) => result.outcome !== 'pass').map(reportLine)).toEqual([])
    // What leaves after the last event belongs to the script too.
    expect(reports.flatMap(({ result }) => result.notes)).toEqual([])
  })

  it('are named after what they test', () => {
    expect(scripts.length).toBeGreaterThan(20)
    expect(scripts.filter((name) => !/^(?:[\w-]+\/)?rfc\d+-[\w.]+-[\w-]+\.pkt$/.test(name))).toEqual([])
  })
})
