// What a page of the reference looks like.

const PAGES = {
  '.': { file: 'zcrx.md', what: 'servers, connections, hosts, rings, devices' },
  './abi': { file: 'abi.md', what: "io_uring's constants and structures, errno numbers, socket addresses" },
  './driver': { file: 'driver.md', what: 'network queues and the memory they fill' },
  './pcap': { file: 'pcap.md', what: 'captures: read, written, followed, replayed, expected' },
  './sinks': { file: 'sinks.md', what: 'where received bytes go' },
  './stack': { file: 'stack.md', what: 'the TCP/IP stack by itself' },
}

/** @param {string} entry as in package.json: `./abi` */
export function blockOf(entry) {
  const page = PAGES[entry]
  if (page === undefined) throw new Error(`no page for ${entry}`)
  return page
}

const importOf = (entry) => entry.replace(/^\./, 'zcrx')

const NOTE = '<!-- Made by npm run docs out of the docstrings: change those. -->'

/** A constant with a number or text that is known, and the comment it stands under; null for anything else. */
export function constantsOf(ts, checker, name, node) {
  if (!ts.isVariableDeclaration(node) || !/^_*[A-Z][A-Z0-9_]*$/.test(name)) return null
  const type = checker.getTypeAtLocation(node)
  const file = node.getSourceFile()
  let value = type.isLiteral() && typeof type.value !== 'object' ? String(type.value) : ''
  if (value === '') value = computed(ts, checker, node.initializer)
  if (value === '') return null
  const group = groupOf(ts, file, node.parent.parent)
  return { value, group, at: [file.fileName, node.pos] }
}

/** What `1 << 4`, or what is made of such, comes to; '' if that can't be said. */
function computed(ts, checker, node) {
  const number = evaluate(ts, checker, node)
  if (number === null) return ''
  return String(number)
}

function evaluate(ts, checker, node) {
  if (node === undefined) return null
  if (ts.isNumericLiteral(node) || ts.isBigIntLiteral?.(node)) return Number(node.text.replace(/n$/, ''))
  if (ts.isParenthesizedExpression(node)) return evaluate(ts, checker, node.expression)
  if (ts.isPrefixUnaryExpression(node)) {
    const inner = evaluate(ts, checker, node.operand)
    if (inner === null) return null
    if (node.operator === ts.SyntaxKind.MinusToken) return -inner
    return node.operator === ts.SyntaxKind.TildeToken ? ~inner : null
  }
  if (ts.isIdentifier(node)) {
    let symbol = checker.getSymbolAtLocation(node)
    if (symbol !== undefined && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol)
    const [there] = symbol?.declarations ?? []
    return there !== undefined && ts.isVariableDeclaration(there)
      ? evaluate(ts, checker, there.initializer)
      : null
  }
  if (!ts.isBinaryExpression(node)) return null
  const a = evaluate(ts, checker, node.left)
  const b = evaluate(ts, checker, node.right)
  if (a === null || b === null) return null
  const how = {
    [ts.SyntaxKind.PlusToken]: () => a + b,
    [ts.SyntaxKind.MinusToken]: () => a - b,
    [ts.SyntaxKind.AsteriskToken]: () => a * b,
    [ts.SyntaxKind.AsteriskAsteriskToken]: () => a ** b,
    [ts.SyntaxKind.SlashToken]: () => a / b,
    [ts.SyntaxKind.LessThanLessThanToken]: () => a << b,
    [ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken]: () => a >>> b,
    [ts.SyntaxKind.BarToken]: () => a | b,
    [ts.SyntaxKind.AmpersandToken]: () => a & b,
  }[node.operatorToken.kind]
  return how === undefined ? null : how()
}

/** The comment that a row of constants stands under, or the one at the head of the file. */
function groupOf(ts, file, statement) {
  const { statements, text } = file
  const comments = (node) => ts.getLeadingCommentRanges(text, node.pos) ?? []
  for (let i = statements.indexOf(statement); i >= 0; i--) {
    const lines = comments(statements[i]).filter(({ kind }) => kind === ts.SyntaxKind.SingleLineCommentTrivia)
    if (lines.length > 0) return lines.map(({ pos, end }) => text.slice(pos + 2, end).trim()).join(' ')
  }
  const [head] = comments(statements[0])
  if (head === undefined) return ''
  const words = text
    .slice(head.pos, head.end)
    .replace(/^\/\*\*?|\s*\*\/$/g, '')
    .replace(/^\s*\* ?/gm, '')
  return words.replace(/\s+/g, ' ').trim()
}

const SECTIONS = [
  ['function', 'Functions'],
  ['class', 'Classes'],
  ['interface', 'Types'],
  ['value', 'Values'],
]

/** Words that Markdown would take for something else. */
const plain = (text) => text.replace(/<(?=[A-Za-z/])/g, '&lt;')
const cell = (text) => plain(text).replaceAll('|', '\\|')

function wrapped(text, width = 118, indent = '') {
  const lines = []
  let line = indent
  for (const word of text.split(' ')) {
    if (line.trim() !== '' && line.length + 1 + word.length > width && !/^(?:[-+*#>]|\d+\.)$/.test(word)) {
      lines.push(line)
      line = indent
    }
    line = line.trim() === '' ? indent + word : `${line} ${word}`
  }
  lines.push(line)
  return lines.join('\n')
}

function signature(line) {
  if (line.length <= 110 || !/^(function|type)/.test(line)) return line
  return line.replace(/ \| (?=["'{])/g, '\n  | ')
}

function block({ name, text, lines, members }) {
  const out = [`### ${name}`, '', '```typescript', ...lines.map(signature), '```', '']
  if (text !== '') out.push(wrapped(plain(text)), '')
  for (const member of members) {
    const said = member.text === '' ? '' : `: ${plain(member.text)}`
    out.push(wrapped(`- \`${member.line.replaceAll('`', "'")}\`${said}`, 118, '').replace(/\n/g, '\n  '))
  }
  if (members.length > 0) out.push('')
  return out
}

function constants(blocks) {
  // As the sources have them: flags belong together.
  const ordered = [...blocks].sort((a, b) =>
    a.at[0] === b.at[0] ? a.at[1] - b.at[1] : a.at[0] < b.at[0] ? -1 : 1,
  )
  const groups = new Map()
  for (const one of ordered) groups.set(one.group, [...(groups.get(one.group) ?? []), one])
  const out = ['## Constants', '']
  for (const [group, rows] of groups) {
    if (group !== '') out.push(wrapped(plain(group)), '')
    const noted = rows.some(({ text }) => text !== '')
    out.push(
      noted ? '| name | value | what it is |' : '| name | value |',
      noted ? '| --- | --- | --- |' : '| --- | --- |',
    )
    for (const { name, value, text } of rows)
      out.push(`| \`${name}\` | \`${value}\` |${noted ? ` ${cell(text)} |` : ''}`)
    out.push('')
  }
  return out
}

/** A page. @param {object[]} blocks what is described here @param {object[]} other what is described on another page */
export function entryText(entry, blocks, other) {
  const out = [
    NOTE,
    '',
    `# ${importOf(entry)}`,
    '',
    `\`import { … } from '${importOf(entry)}'\`: ${blockOf(entry).what}.`,
    '',
  ]
  for (const [kind, title] of SECTIONS) {
    const some = blocks.filter((one) => one.kind === kind)
    if (some.length > 0) out.push(`## ${title}`, '', ...some.flatMap(block))
  }
  const fixed = blocks.filter(({ kind }) => kind === 'constant')
  if (fixed.length > 0) out.push(...constants(fixed))
  if (other.length > 0) {
    out.push('## Described elsewhere', '')
    const byEntry = new Map()
    for (const one of other) byEntry.set(one.home.entry, [...(byEntry.get(one.home.entry) ?? []), one])
    for (const [home, names] of byEntry) {
      const { file } = blockOf(home)
      const all = names.length > 40
      const listed = names.map(({ name }) => `\`${name}\``).join(', ')
      out.push(
        wrapped(`On [${importOf(home)}](${file}): ${all ? `all ${names.length} of its exports` : listed}.`),
        '',
      )
    }
  }
  return out.join('\n')
}

export function indexText(entries) {
  const rows = entries.map(
    ({ name, count }) => `| [${importOf(name)}](${blockOf(name).file}) | ${count} | ${blockOf(name).what} |`,
  )
  return [
    NOTE,
    '',
    '# Reference',
    '',
    'Every export of the package, by entry point, as the docstrings of the sources have it. [The API pages](../README.md) explain,',
    'with examples; these pages list.',
    '',
    '| entry point | exports | what it is |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n')
}
