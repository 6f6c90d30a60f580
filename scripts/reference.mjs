// Makes docs/api/reference/*.md of the docstrings: a page for each entry point of the package, every export with its
// signature, its public members and what is said of them. `npm run docs` writes them; a test holds the pages to the sources.
// TypeScript 7 has no compiler interface for JavaScript, so 5.9 reads the sources here, and nothing else is done with it.
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript-5'
import { blockOf, constantsOf, entryText, indexText } from './reference/page.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const FOLDER = join(ROOT, 'docs/api/reference')

/** Where an export that several entry points have is described: the first of these that has it. */
const ORDER = ['./abi', '.', './driver', './pcap', './sinks', './stack']

/** Modifiers that say nothing to who reads a reference. */
const SILENT = /^(?:export |declare |default |abstract (?=class)|async )+/

/** The sources, as the type checker sees them, and declarations as a .d.ts has them. */
class Sources {
  /** By file: its declarations, as text that was parsed again. */
  #declared = new Map()

  constructor() {
    const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile)
    const { options } = ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, ROOT)
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    /** Entry point to source file. */
    this.entries = ORDER.map((name) => {
      const source = exports[name].import.types.replace(/^\.\/dist\//, '').replace(/\.d\.ts$/, '.ts')
      return { name, file: join(ROOT, source) }
    })
    const missing = Object.keys(exports).filter((name) => name !== './package.json' && !ORDER.includes(name))
    if (missing.length > 0) throw new Error(`no place in the reference for ${missing.join(', ')}`)
    this.program = ts.createProgram(
      this.entries.map(({ file }) => file),
      { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true, sourceMap: false },
    )
    this.checker = this.program.getTypeChecker()
  }

  /** Exports of a module: name and symbol, the one that was declared. */
  exportsOf(file) {
    const source = this.program.getSourceFile(file)
    return this.checker
      .getExportsOfModule(this.checker.getSymbolAtLocation(source))
      .map((symbol) => ({ name: symbol.name, symbol: this.#declaredSymbol(symbol) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #declaredSymbol(symbol) {
    return symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol
  }

  /** It is one of ours. */
  ours(node) {
    const { fileName } = node.getSourceFile()
    return fileName.startsWith(`${ROOT}/`) && !fileName.includes('/node_modules/')
  }

  #fileOf(source) {
    let file = this.#declared.get(source.fileName)
    if (file === undefined) {
      let text = ''
      this.program.emit(
        source,
        (name, data) => {
          if (name.endsWith('.d.ts')) text = data
        },
        undefined,
        true,
      )
      file = ts.createSourceFile(source.fileName, text, ts.ScriptTarget.Latest, true)
      this.#declared.set(source.fileName, file)
    }
    return file
  }

  /** The same declaration in the .d.ts: with its types, without its body. @returns {ts.Node | null} */
  declared(node) {
    const owner = ts.isVariableDeclaration(node) ? null : node.parent
    const file = this.#fileOf(node.getSourceFile())
    const named = (nodes, name) => nodes.filter((one) => one.name?.getText() === name)
    const top = file.statements.flatMap((one) =>
      ts.isVariableStatement(one) ? [...one.declarationList.declarations] : [one],
    )
    if (owner === null || ts.isSourceFile(owner)) {
      const found = named(top, node.name.getText()).filter((one) => one.kind === node.kind)
      const before = ts.isFunctionDeclaration(node)
        ? node.parent.statements.filter(
            (one) => one.name?.text === node.name.text && (one.body === undefined || one === node),
          )
        : [node]
      return found[before.indexOf(node)] ?? found[0] ?? null
    }
    if (!ts.isClassLike(owner) && !ts.isInterfaceDeclaration(owner)) return null
    const there = owner.name === undefined ? [] : named(top, owner.name.text)
    const members = there.flatMap((one) => [...(one.members ?? [])])
    const name = node.name?.getText()
    const same = members.filter((one) =>
      name === undefined ? one.kind === node.kind : one.name?.getText() === name && one.kind === node.kind,
    )
    const siblings = owner.members.filter(
      (one) =>
        one.kind === node.kind &&
        one.name?.getText() === name &&
        (one.body === undefined || same.length === 1 || ts.isAccessor(one)),
    )
    return same[Math.max(0, siblings.indexOf(node))] ?? same[0] ?? null
  }
}

/** What is said of a declaration: text, and what it throws, answers and is given. */
function docOf(node) {
  const holder = ts.isVariableDeclaration(node) ? node.parent.parent : node
  const docs = holder.jsDoc ?? []
  const said = docs.at(-1)
  if (said === undefined) return { text: '', internal: false }
  const words = (comment) =>
    typeof comment === 'string' ? comment : (ts.getTextOfJSDocComment(comment) ?? '')
  const parts = [words(said.comment)]
  let internal = false
  for (const tag of said.tags ?? []) {
    const text = words(tag.comment)
    const what = tag.tagName.text
    if (what === 'internal') internal = true
    else if (what === 'param') parts.push(`\`${tag.name.getText()}\`: ${text}`)
    else if (what === 'throws')
      parts.push(`Throws ${tag.typeExpression ? `${tag.typeExpression.getText()} ` : ''}${text}`)
    else if (what === 'returns') parts.push(`Returns ${text}`)
    else parts.push(`${what}: ${text}`)
  }
  const text = parts.map((part) => part.replace(/\s+/g, ' ').trim()).filter((part) => part !== '')
  return { text: text.map((part) => (/[.!?:;)…`]$/.test(part) ? part : `${part}.`)).join(' '), internal }
}

const flat = (text) =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s+/g, ' ')
    .replace(/;$/, '')
    .trim()

/** A declaration as one line, without comments. */
function lineOf(node) {
  if (ts.isVariableDeclaration(node)) return flat(`const ${node.getText()}`)
  return flat(node.getText()).replace(SILENT, '')
}

/** What is not a class's or interface's body: `class A<T> extends B implements C`. */
function headOf(node) {
  const file = node.getSourceFile()
  return flat(file.text.slice(node.getStart(file), node.members.pos - 1)).replace(SILENT, '')
}

const HIDDEN = ts.ModifierFlags.Private | ts.ModifierFlags.Protected

/** A member is nobody's business: private, internal, or named by a symbol of the package's own. */
function hidden(node) {
  if (node.name !== undefined && ts.isPrivateIdentifier(node.name)) return true
  return (ts.getCombinedModifierFlags(node) & HIDDEN) !== 0 || docOf(node).internal
}

/** @returns {{ files: Map<string, string>, offenders: string[] }} pages by path, and exports of which nothing is said */
export function reference() {
  const sources = new Sources()
  const { checker } = sources
  const offenders = new Set()
  /** Where each symbol is described. */
  const homes = new Map()
  const entries = sources.entries.map(({ name, file }) => ({ name, file, exports: sources.exportsOf(file) }))
  for (const { name, exports } of entries)
    for (const one of exports)
      if (!homes.has(one.symbol)) homes.set(one.symbol, { entry: name, name: one.name })

  const place = (node) => relative(ROOT, node.getSourceFile().fileName)

  /** Declarations of a property or method, as lines with what is said of them. */
  function memberOf(property) {
    const nodes = (property.declarations ?? []).filter(
      (node) =>
        sources.ours(node) &&
        !hidden(node) &&
        !(ts.isMethodDeclaration(node) && node.body && property.declarations.length > 1),
    )
    const shown = nodes.filter(
      (node, i) => !(ts.isSetAccessor(node) && nodes.some((one, j) => j !== i && ts.isGetAccessor(one))),
    )
    return shown.map((node) => {
      const getter = ts.isGetAccessor(node)
      const settable = getter && nodes.some(ts.isSetAccessor)
      const told = sources.declared(node) ?? node
      let line = lineOf(told)
      if (getter)
        line = line.replace(
          /^((?:static )?)get (.*?)\(\)/,
          (_all, before, name) => `${before}${settable ? '' : 'readonly '}${name}`,
        )
      return { line, text: docOf(node).text, name: property.name }
    })
  }

  /** Members that a reader has to look for here: its own, and those of bases that no entry point exports. */
  function membersOf(symbol) {
    const [node] = symbol.declarations
    const isClass = ts.isClassDeclaration(node)
    const near = new Set(symbol.declarations)
    for (const base of basesOf(symbol))
      if (!homes.has(base)) for (const one of base.declarations ?? []) near.add(one)
    const type = checker.getDeclaredTypeOfSymbol(symbol)
    const alias = ts.isTypeAliasDeclaration(node)
    const own = (property) =>
      alias ||
      (property.declarations ?? []).some(
        (one) => near.has(one.parent) || (!isClass && !homes.has(one.parent.symbol)),
      )
    const properties =
      alias && !(type.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection))
        ? []
        : checker.getPropertiesOfType(type)
    const members = properties.filter(own).flatMap(memberOf)
    if (!isClass) return members
    const made = node.members.filter((one) => ts.isConstructorDeclaration(one) && !hidden(one))
    const statics = checker
      .getPropertiesOfType(checker.getTypeOfSymbol(symbol))
      .filter((one) => one.name !== 'prototype' && own(one))
      .flatMap(memberOf)
    const constructors = made.map((one) => ({
      line: lineOf(sources.declared(one) ?? one).replace(/^constructor/, `new ${symbol.name}`),
      text: docOf(one).text,
      name: '',
    }))
    return [...constructors, ...statics, ...members]
  }

  /** Everything it extends, near and far, up to what is exported. */
  function basesOf(symbol) {
    const bases = []
    for (const node of symbol.declarations ?? [])
      for (const clause of node.heritageClauses ?? [])
        for (const { expression } of clause.token === ts.SyntaxKind.ExtendsKeyword ? clause.types : []) {
          const found = checker.getSymbolAtLocation(expression)
          if (found === undefined) continue
          const base = found.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(found) : found
          bases.push(base)
          if (!homes.has(base)) bases.push(...basesOf(base))
        }
    return bases
  }

  function describe({ name, symbol }) {
    const all = (symbol.declarations ?? []).filter((node) => sources.ours(node))
    const [node] = all
    const said = all.map((one) => docOf(one).text).filter((text) => text !== '')
    const constant = constantsOf(ts, checker, name, node)
    if (constant !== null) {
      if (constant.group === '' && said.length === 0) offenders.add(`${place(node)}: ${name}`)
      // What stands at the head of a file is of all of them.
      const text = said.filter((one) => one !== constant.group).join(' ')
      return { kind: 'constant', name, text, ...constant }
    }
    const text = said.join(' ')
    if (text === '') offenders.add(`${place(node)}: ${name}`)
    if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      const told = sources.declared(node) ?? node
      const kind = ts.isClassDeclaration(node) ? 'class' : 'interface'
      return { kind, name, text, lines: [headOf(told)], members: membersOf(symbol) }
    }
    const functions = all.filter(ts.isFunctionDeclaration)
    if (functions.length > 0) {
      const open = functions.length > 1 ? functions.filter((one) => one.body === undefined) : functions
      return {
        kind: 'function',
        name,
        text,
        lines: open.map((one) => lineOf(sources.declared(one) ?? one)),
        members: [],
      }
    }
    const lines = all.map((one) => lineOf(sources.declared(one) ?? one))
    if (ts.isTypeAliasDeclaration(node)) {
      const composed = /\b(Omit|Pick|Partial)<| & /.test(lines[0]) && !lines[0].includes('=>')
      return { kind: 'interface', name, text, lines, members: composed ? membersOf(symbol) : [] }
    }
    return { kind: 'value', name, text, lines, members: [] }
  }

  const files = new Map()
  for (const entry of entries) {
    const own = entry.exports.filter(({ symbol }) => homes.get(symbol).entry === entry.name)
    const other = entry.exports
      .filter(({ symbol }) => homes.get(symbol).entry !== entry.name)
      .map(({ name, symbol }) => ({ name, ...{ home: homes.get(symbol) } }))
    const blocks = own.map(describe)
    files.set(join(FOLDER, blockOf(entry.name).file), entryText(entry.name, blocks, other))
  }
  files.set(
    join(FOLDER, 'README.md'),
    indexText(entries.map(({ name, exports }) => ({ name, count: exports.length }))),
  )
  return { files, offenders: [...offenders].sort() }
}
