import { describe, expect, it } from 'vitest'
import { main, runText } from '../../packetdrill/cli.ts'
import { SWITCHES } from '../../packetdrill/lenient.ts'
import { reportLine } from '../../packetdrill/report.ts'
import { codeBlocks, codeSpans, read, section, tableRows } from '../docs/markdown.ts'

const PAGE = 'docs/packetdrill.md'
const text = read(PAGE)

describe(PAGE, () => {
  const blocks = codeBlocks(PAGE, text, 'pkt')
  it('has examples', () => expect(blocks.length).toBeGreaterThan(1))

  it.each(blocks.map((block) => [block.at, block] as const))('%s prints what the page says', (_at, block) => {
    const lines = runText('example', block.code).map(reportLine)
    expect(lines.join('\n')).toBe(block.prints)
  })

  it('has every switch, and no other', () => {
    const rows = tableRows(section(text, '## Lenient switches'))
    const documented = rows.flatMap((row) => codeSpans(row[0]!))
    expect(new Set(documented)).toEqual(new Set([...SWITCHES, 'quick-ack']))
  })

  it('has every option of the command', () => {
    let help = ''
    main(['--help'], {
      out: (part) => {
        help += part
      },
      err: () => {},
    })
    for (const option of help.match(/--[a-zA-Z]+/g) ?? []) expect(text).toContain(`\`${option}`)
  })
})
