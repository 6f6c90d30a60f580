import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const program = fileURLToPath(new URL('../../dist/fuzz/main.js', import.meta.url))
const compiled = existsSync(program)
if (!compiled) console.warn('skipped: the fuzzer is not compiled (npm run build)')

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'zcrx-fuzz-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

interface Outcome {
  status: number | null
  out: string
  error: string
  /** Inputs that were saved. */
  saved: Uint8Array[]
  findings: string
}

function fuzz(target: string, ...args: string[]): Outcome {
  const findings = mkdtempSync(join(directory, 'findings-'))
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [program, target, '--findings', findings, '--seed', '5', ...args],
    { encoding: 'utf8', timeout: 60_000 },
  )
  const saved = readdirSync(findings).map((name) => new Uint8Array(readFileSync(join(findings, name))))
  return { status, out: stdout, error: stderr, saved, findings }
}

/** A target of this source, which gets `bytes`. */
function planted(name: string, body: string): string {
  const path = join(directory, `${name}.js`)
  const source = `const keep = []
    export const target = {
      name: '${name}',
      longest: 64,
      seeds: () => [Uint8Array.of(1, 2, 3)],
      run: async (bytes) => { ${body} },
    }`
  writeFileSync(path, source)
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  return path
}

/** Conditions that take guidance to pass. */
const LOCK = 'if (bytes[0] === 0x5a) if (bytes[1] === 0x43) if (bytes[2] === 0x52)'

describe.skipIf(!compiled)('the program', () => {
  it('saves what crashes, and runs it again', () => {
    const target = planted('crash', `${LOCK} throw new RangeError('planted')`)
    const { status, error, saved, findings } = fuzz(target, '--seconds', '30')
    expect(error).toContain('RangeError: planted')
    expect(status).toBe(1)
    expect([...saved[0]!.subarray(0, 3)]).toEqual([0x5a, 0x43, 0x52])
    const again = fuzz(target, '--input', join(findings, readdirSync(findings)[0]!))
    expect([again.status, again.saved]).toEqual([1, saved])
  })

  it('saves what hangs', () => {
    const target = planted('hang', `${LOCK} for (;;) {}`)
    const { status, error, saved } = fuzz(target, '--seconds', '30', '--limit', '200')
    expect(error).toContain('does not end within 400 ms')
    expect(status).toBe(1)
    expect([...saved[0]!.subarray(0, 3)]).toEqual([0x5a, 0x43, 0x52])
  })

  it('does not wait for what never comes', () => {
    const target = planted('never', `${LOCK} await new Promise(() => {})`)
    const { status, saved } = fuzz(target, '--seconds', '30', '--limit', '200')
    expect([status, saved.length]).toEqual([1, 1])
  })

  it('saves what takes memory', () => {
    const target = planted('memory', `${LOCK} keep.push(new Uint8Array(64 << 20))`)
    const { status, error, saved } = fuzz(target, '--seconds', '30', '--memory', '32')
    expect(error).toMatch(/allocated \d+ bytes, more than 33554432/)
    expect([status, saved.length]).toEqual([1, 1])
  })

  it('finds nothing where there is nothing, and says so', () => {
    const { status, out, saved } = fuzz('line', '--runs', '1000')
    expect(out).toMatch(/1000 inputs/)
    expect([status, saved.length]).toEqual([0, 0])
  })

  it('does the same for the same seed', () => {
    const blocks = (text: string) => /(\d+) of \d+ blocks, corpus \d+\s*$/.exec(text.trim())![0]
    const [first, second] = [fuzz('pcapng', '--runs', '600'), fuzz('pcapng', '--runs', '600')]
    expect(blocks(first.out)).toBe(blocks(second.out))
  })

  it('says what it does not understand', () => {
    expect(fuzz('nothing')).toMatchObject({ status: 2, error: expect.stringContaining('pcap, pcapng, gzip') })
    expect(fuzz('line', '--what')).toMatchObject({ status: 2, error: expect.stringContaining('Usage') })
    expect(fuzz('line', '--seconds', 'x').status).toBe(2)
  })
})
