import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { format } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { buildProgram } from '../../daemon/cli/program.ts'
import { NicStats } from '../../driver/nic.ts'
import { receive } from '../../examples/08-ring.ts'
import { DEFAULT_OPEN_CONVERSATIONS } from '../../pcap/follow/conversations.ts'
import { DEFAULT_HELD_BYTES } from '../../pcap/follow/follow.ts'
import { samples } from '../../pcap/samples/samples.ts'
import * as captures from '../../replay/index.ts'
import { Counters } from '../../stack/counters.ts'
import { defaultIpConfig } from '../../stack/ip/options.ts'
import { defaultTcpConfig } from '../../stack/tcp/options.ts'
import {
  anchors,
  type CodeBlock,
  codeBlocks,
  codeSpans,
  from,
  pages,
  prose,
  ROOT,
  read,
  relativeLinks,
  section,
  tableRows,
} from './markdown.ts'
import { memoryHost } from './memory-host.ts'

/** Extracted blocks live here, inside the repository so that they resolve its packages; ignored by git. */
const FOLDER = join(ROOT, '.doc-blocks')

function fileOf(block: CodeBlock): string {
  return `${block.at.replaceAll(/[^A-Za-z0-9]+/g, '-')}.ts`
}

const blocks = pages().flatMap((page) => codeBlocks(page, read(page)))

beforeAll(() => {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER)
  for (const block of blocks) writeFileSync(join(FOLDER, fileOf(block)), `${block.code}\n`)
})

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }))

/** What the compiler says of the files in `folder`, one line per error. */
function compile(folder: string, files: readonly string[]): string[] {
  const paths = {
    zcrx: [from(folder, 'index.ts')],
    'zcrx/driver': [from(folder, 'driver/index.ts')],
    'zcrx/sinks': [from(folder, 'sinks/index.ts')],
    'zcrx/stack': [from(folder, 'stack/index.ts')],
    'zcrx/abi': [from(folder, 'uapi/abi/index.ts')],
    'zcrx/pcap': [from(folder, 'replay/index.ts')],
  }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: from(folder, 'tsconfig.json'),
      compilerOptions: {
        noEmit: true,
        rootDir: from(folder, '.'),
        paths,
        moduleDetection: 'force',
        // An example may declare what it does not go on to use.
        noUnusedLocals: false,
        noUnusedParameters: false,
      },
      files,
      include: [],
    }),
  )
  try {
    execFileSync('npx', ['--no-install', 'tsc', '-p', join(folder, 'tsconfig.json'), '--pretty', 'false'], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    return []
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    if (stdout === undefined || stdout === '') throw error
    return stdout.split('\n').filter((line) => line.includes('error TS'))
  }
}

describe('examples', () => {
  it('compile against the sources', () => {
    expect(blocks.length).toBeGreaterThan(20)
    const checked = blocks.filter((block) => !block.marks.includes('no-check'))
    const places = new Map(checked.map((block) => [fileOf(block), block.at]))
    const errors = compile(FOLDER, [...places.keys()]).map((line) =>
      line.replace(/^(?:.*\/)?([^/(]+\.ts)\((\d+),\d+\)/, (_all, file: string, row: string) => {
        const at = places.get(file)
        return at === undefined ? file : at.replace(/\d+$/, (first) => `${Number(first) + Number(row)}`)
      }),
    )
    expect(errors).toEqual([])
  }, 30_000)

  it('would not compile with a wrong name in them', () => {
    const folder = join(FOLDER, 'wrong')
    mkdirSync(folder)
    writeFileSync(join(folder, 'wrong.ts'), "import { Rink } from 'zcrx'\nconsole.log(Rink)\n")
    expect(compile(folder, ['wrong.ts']).join()).toContain('TS2305')
  }, 30_000)

  const runnable = blocks.filter((block) => block.marks.includes('run'))
  it('are there to be run', () => expect(runnable.length).toBeGreaterThanOrEqual(4))

  it.each(runnable.map((block) => [block.at, block] as const))(
    '%s prints what the page says',
    async (at, block) => {
      expect(
        block.prints,
        `${at}: a block marked run is followed by a text block with what it prints`,
      ).not.toBeNull()
      const printed: string[] = []
      const log = vi.spyOn(console, 'log').mockImplementation((...args) => void printed.push(format(...args)))
      try {
        await import(join(FOLDER, fileOf(block)))
      } finally {
        log.mockRestore()
      }
      expect(printed.join('\n')).toBe(block.prints)
    },
  )
})

describe('pages', () => {
  it.each(pages())('%s has no link that leads nowhere', (page) => {
    const broken = relativeLinks(read(page)).filter((target) => {
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(ROOT, file))) return true
      return anchor !== undefined && !anchors(read(file)).has(anchor)
    })
    expect(broken).toEqual([])
  })

  it('are all reached from the README', () => {
    const reached = new Set<string>()
    const visit = (page: string): void => {
      if (reached.has(page)) return
      reached.add(page)
      for (const target of relativeLinks(read(page))) {
        const file = join(dirname(page), target.split('#')[0]!)
        if (file.endsWith('.md')) visit(file)
      }
    }
    visit('README.md')
    expect(pages().filter((page) => !reached.has(page))).toEqual([])
  })

  it('name every exported value of the package in docs/api', () => {
    const api = pages()
      .filter((page) => page.startsWith('docs/api/') && !page.startsWith('docs/api/reference/'))
      .map(read)
      .join('\n')
    const own = readFileSync(join(ROOT, 'index.ts'), 'utf8')
    const names = [...own.matchAll(/export \{([^}]*)\}/g)]
      .flatMap((match) => match[1]!.split(','))
      .map((name) => name.replace(/^.* as |type /, '').trim())
      .filter((name) => name !== '')
    expect(names.length).toBeGreaterThan(30)
    expect(names.filter((name) => !api.includes(`\`${name}`))).toEqual([])
    // Constants of the formats have the names of their specifications.
    const ofCaptures = Object.keys(captures).filter((name) => /[a-z]/.test(name))
    expect(ofCaptures.length).toBeGreaterThan(20)
    expect(ofCaptures.filter((name) => !api.includes(`\`${name}`))).toEqual([])
  })

  it('have every error code, and no other', () => {
    const folders = ['driver', 'stack', 'host', 'uapi', 'net', 'sinks', 'pcap', 'replay']
    const sources = folders
      .flatMap((folder) =>
        readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
          .filter((name) => name.endsWith('.ts'))
          .map((name) => join(folder, name)),
      )
      .concat('errors.ts')
      .map(read)
      .join('\n')
    const codes = new Set([...sources.matchAll(/'((?:ZCRX|PCAP)_[A-Z_]+)'/g)].map((match) => match[1]!))
    expect(codes.size).toBeGreaterThan(10)
    const documented = codeSpans(section(read('docs/api/errors.md'), '## Codes')).filter((span) =>
      /^(ZCRX|PCAP)_/.test(span),
    )
    expect(new Set(documented)).toEqual(codes)
  })

  it('have every cause of a drop, and every limit with its default', () => {
    const security = read('docs/security.md')
    const spans = new Set(codeSpans(security))
    const drops = Object.keys(new Counters()).filter((name) => name.startsWith('drop'))
    const nic = Object.keys(new NicStats()).filter((name) => /^rx(Ring|Fill|Dropped|Invalid)/.test(name))
    expect([...drops, ...nic].filter((name) => !spans.has(name))).toEqual([])
    const rows = new Map(
      tableRows(read('docs/api/stack.md')).map((row) => [row[0]!.replaceAll('`', ''), row[1]]),
    )
    for (const [name, value] of Object.entries({ ...defaultTcpConfig, ...defaultIpConfig, vlan: 'none' })) {
      expect(rows.get(name)?.replaceAll(',', ''), name).toBe(`${value}`)
    }
  })
})

describe('docs/conformance.md', () => {
  const text = read('docs/conformance.md')

  /** Names of tests stand behind the file they are in. */
  function wrongTests(cell: string): string[] {
    const wrong: string[] = []
    let source = ''
    for (const span of codeSpans(cell)) {
      if (span.endsWith('.pkt')) {
        if (!existsSync(join(ROOT, span))) wrong.push(span)
      } else if (/\.(test\.)?ts$/.test(span)) {
        const file = join(ROOT, span)
        source = existsSync(file) ? readFileSync(file, 'utf8') : ''
        if (source === '') wrong.push(span)
      } else if (![`'${span}'`, `"${span}"`, `\`${span}\``].some((quoted) => source.includes(quoted))) {
        wrong.push(span)
      }
    }
    return wrong
  }

  it('names files that exist', () => {
    const files = codeSpans(prose(text)).filter((span) => /^[\w./-]+\.(ts|md|json|pkt)$/.test(span))
    expect(files.length).toBeGreaterThan(5)
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
  })

  it('names tests that exist, and says "no test" where there is none', () => {
    // The last part says what differs and why, without tests.
    const rows = tableRows(text.slice(0, text.indexOf('\n## Where it differs on purpose')))
    expect(rows.length).toBeGreaterThan(70)
    for (const row of rows) {
      const cell = row.at(-1)!
      expect(wrongTests(cell), row.join(' | ')).toEqual([])
      const shown = /\.(test\.ts|pkt)`/.test(cell)
      expect(shown || cell === 'no test' || cell === '', row.join(' | ')).toBe(true)
      if (/^yes\b/.test(row[2]!)) expect(shown, row.join(' | ')).toBe(true)
    }
    expect(wrongTests('`test/uapi/recv-zc.test.ts`: `does what no test does`')).toEqual([
      'does what no test does',
    ])
    expect(wrongTests('`test/uapi/nowhere.test.ts`')).toEqual(['test/uapi/nowhere.test.ts'])
    expect(wrongTests('`test/packetdrill/nowhere.pkt`')).toEqual(['test/packetdrill/nowhere.pkt'])
  })

  it('names every script', () => {
    const scripts = readdirSync(join(ROOT, 'test/packetdrill')).filter((name) => name.endsWith('.pkt'))
    expect(scripts.length).toBeGreaterThan(200)
    expect(scripts.filter((name) => !text.includes(`\`test/packetdrill/${name}\``))).toEqual([])
  })

  it('has every requirement of RFC 9293 appendix B, with yes, partly or no and why', () => {
    const rows = tableRows(section(text, '## RFC 9293: the requirements of its appendix B'))
    const expected = Object.entries({ MUST: 69, SHLD: 31, MAY: 18, REC: 1 }).flatMap(([kind, count]) =>
      Array.from({ length: count }, (_, i) => `${kind}-${i + 1}`),
    )
    expect(new Set(rows.map((row) => row[0]))).toEqual(new Set(expected))
    for (const row of rows) expect(row[2], row.join(' | ')).toMatch(/^(yes\b|(partly|no): \S)/)
  })

  it('has every row of every group once, with yes, partly or no', () => {
    const ids = tableRows(text)
      .filter((row) => /^[RAVFC]\d+$/.test(row[0]!))
      .map((row) => {
        expect(['yes', 'partly', 'no'], row.join(' | ')).toContain(/^\w+/.exec(row[2]!)?.[0])
        return row[0]!
      })
    const expected = Object.entries({ R: 18, A: 12, V: 18, F: 11, C: 13 }).flatMap(([group, count]) =>
      Array.from({ length: count }, (_, i) => `${group}${i + 1}`),
    )
    expect(ids).toEqual(expected)
  })
})

describe('docs/captures.md', () => {
  it('has the limits that are in force', () => {
    const limits = section(read('docs/captures.md'), '### Limits')
    expect(limits).toContain(`| ${DEFAULT_OPEN_CONVERSATIONS} (\`openConversations\`)`)
    expect(limits).toContain(`| ${DEFAULT_HELD_BYTES / 2 ** 20} MiB. Beyond`)
    expect(limits).toContain(
      `| ${captures.MAX_PACKET_BYTES} bytes; ${captures.MAX_BLOCK_BYTES / 2 ** 20} MiB.`,
    )
    for (const page of ['docs/api/follow.md', 'docs/api/replay.md']) {
      const rows = new Map(tableRows(read(page)).map((row) => [row[0], row[2]]))
      expect(rows.get('`openConversations`'), page).toBe(`${DEFAULT_OPEN_CONVERSATIONS}`)
    }
  })

  it('says how many samples there are', () => {
    expect(samples.length).toBeGreaterThan(60)
  })
})

describe('docs/zcrxd.md', () => {
  const LONG = /(?<![\w-])--[a-z][a-z-]*/g
  const ACTIONS = {
    run: async () => 0,
    demo: async () => 0,
    replay: async () => 0,
    follow: async () => 0,
    doctor: async () => 0,
  }

  async function help(...command: string[]): Promise<string> {
    let printed = ''
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      printed += chunk
      return true
    })
    try {
      await buildProgram(ACTIONS, () => {}).parseAsync([...command, '--help'], { from: 'user' })
    } catch (error) {
      if ((error as { code?: string }).code !== 'commander.helpDisplayed') throw error
    } finally {
      write.mockRestore()
    }
    return printed
  }

  /** Options that the list in a help text names, `--help` itself left out. */
  function listed(text: string): Set<string> {
    const list = /^Options:\n((?: .*\n)+)/m.exec(text)?.[1] ?? ''
    const names = list
      .split('\n')
      .map((line) => /^ {2}(?:-\w, )?(--[a-z-]+)/.exec(line)?.[1])
      .filter((name) => name !== undefined)
    return new Set(names.filter((name) => name !== '--help'))
  }

  it.each([['run'], ['demo'], ['replay'], ['follow'], ['doctor']])(
    'has every option of zcrxd %s, and no other',
    async (command) => {
      const page = section(read('docs/zcrxd.md'), `## zcrxd ${command}`)
      const documented = new Set(tableRows(page).flatMap((row) => row[0]!.match(LONG) ?? []))
      const options = listed(await help(command))
      expect(options.size).toBeGreaterThan(2)
      expect(documented).toEqual(options)
      const mentioned = [...page.matchAll(LONG)].map((match) => match[0])
      expect(mentioned.filter((name) => !options.has(name))).toEqual([])
    },
  )

  it('has every option of zcrxd itself', async () => {
    const options = listed(await help())
    expect(options).toContain('--verbose')
    const page = read('docs/zcrxd.md')
    const front = page.slice(0, page.indexOf('\n## '))
    expect([...options].filter((name) => !front.includes(`\`${name}\``))).toEqual([])
  })
})

it('the example on the ring receives a whole stream over a memory link', () => {
  const { host, sent } = memoryHost(3_000_000)
  expect(receive(host, 9000)).toBe(3_000_000)
  expect(sent()).toBe(3_000_000)
  expect(host.stack.census().lost).toBe(0)
})
