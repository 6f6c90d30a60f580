import { ScriptError } from '../errors.ts'

const DIRECTIVE = /^[ \t]*#[ \t]*(ifdef|ifndef|else|endif)\b[ \t]*(\w*)/

/** Blanks what `#ifdef`, `#ifndef`, `#else` and `#endif` exclude, and those lines themselves. Lines keep their numbers. */
export function preprocess(text: string, defined: ReadonlySet<string>): string {
  const open: { taken: boolean; elseSeen: boolean; line: number }[] = []
  const lines = text.split('\n')
  // For a runner named in the first line.
  if (lines[0]?.startsWith('#!')) lines[0] = ''
  const result = lines.map((line, index) => {
    const at = { line: index + 1, column: 1 }
    const directive = DIRECTIVE.exec(line)
    if (directive === null) return open.every((block) => block.taken) ? line : ''
    const [, what, name = ''] = directive
    if (what === 'ifdef' || what === 'ifndef') {
      if (name === '') throw new ScriptError(at, `#${what} without a name`)
      open.push({ taken: defined.has(name) === (what === 'ifdef'), elseSeen: false, line: index + 1 })
      return ''
    }
    const block = open.at(-1)
    if (block === undefined || (what === 'else' && block.elseSeen)) {
      throw new ScriptError(at, `#${what} without #ifdef`)
    }
    if (what === 'else') {
      block.taken = !block.taken
      block.elseSeen = true
    } else open.pop()
    return ''
  })
  const last = open.at(-1)
  if (last !== undefined) throw new ScriptError({ line: last.line, column: 1 }, '#ifdef without #endif')
  return result.join('\n')
}
