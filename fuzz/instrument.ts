import { parseAst } from 'rolldown/parseAst'

/** A node of ESTree, as far as it matters here. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

/** What instrumented code calls its counters; `globalThis` has them under the name that `COUNTERS` gives. */
const NAME = '$blocks'
export const COUNTERS = '__fuzzCounters'
/** A function on `globalThis`: told how many blocks there are by now, by each module as it is loaded. */
export const REGISTER = '__fuzzBlocks'

const BRANCHES = new Set([
  'ForStatement',
  'ForInStatement',
  'ForOfStatement',
  'WhileStatement',
  'DoWhileStatement',
])
const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])

/**
 * Adds a counter to every block of a module: bodies of functions and loops, both ways of each condition, the right sides of
 * logical operators, cases. Lines stay where they are.
 * @param first number of the first block @returns the source, and the number behind the last block
 */
export function instrument(source: string, first: number): { code: string; next: number } {
  const inserter = new Inserter(source, first)
  inserter.visit(parseAst(source) as unknown as Node)
  const { next } = inserter
  const head = `const ${NAME} = globalThis.${COUNTERS}; globalThis.${REGISTER}?.(${next}); `
  return { code: head + inserter.result(), next }
}

class Inserter {
  next: number
  readonly #source: string
  /** By position: what ends there, innermost first, and what begins there, outermost first. */
  readonly #closing = new Map<number, string[]>()
  readonly #opening = new Map<number, string[]>()

  constructor(source: string, first: number) {
    this.#source = source
    this.next = first
  }

  visit(node: Node): void {
    this.#add(node)
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (isNode(child)) this.visit(child)
      }
    }
  }

  result(): string {
    const positions = [...new Set([...this.#closing.keys(), ...this.#opening.keys()])].sort((a, b) => a - b)
    let code = ''
    let from = 0
    for (const at of positions) {
      const here = [...(this.#closing.get(at) ?? []), ...(this.#opening.get(at) ?? [])]
      code += this.#source.slice(from, at) + here.join('')
      from = at
    }
    return code + this.#source.slice(from)
  }

  #add(node: Node): void {
    if (node.type === 'IfStatement') {
      // In this order: the statement ends where the whole does, and is closed first.
      if (isNode(node.alternate)) this.#statement(node.alternate)
      else this.#close(node.end, ` else { ${this.#count()} }`)
      this.#statement(node.consequent as Node)
    } else if (node.type === 'ConditionalExpression') {
      this.#expression(node.consequent as Node)
      this.#expression(node.alternate as Node)
    } else if (node.type === 'LogicalExpression') this.#expression(node.right as Node)
    else if (BRANCHES.has(node.type)) this.#statement(node.body as Node)
    else if (FUNCTIONS.has(node.type) && isNode(node.body)) {
      if (node.body.type === 'BlockStatement') this.#statement(node.body)
      else this.#expression(node.body)
    } else if (node.type === 'CatchClause') this.#statement(node.body as Node)
    else if (node.type === 'SwitchCase') {
      const [statement] = node.consequent as Node[]
      if (statement !== undefined) this.#open(statement.start, `${this.#count()} `)
    }
  }

  #statement(node: Node): void {
    if (node.type === 'BlockStatement') {
      this.#open(node.start + 1, ` ${this.#count()}`)
      return
    }
    this.#open(node.start, `{ ${this.#count()} `)
    this.#close(node.end, ' }')
  }

  #expression(node: Node): void {
    this.#open(node.start, `(${NAME}[${this.next++}]++, (`)
    this.#close(node.end, '))')
  }

  #count(): string {
    return `${NAME}[${this.next++}]++;`
  }

  #open(at: number, text: string): void {
    this.#opening.set(at, [...(this.#opening.get(at) ?? []), text])
  }

  #close(at: number, text: string): void {
    this.#closing.set(at, [text, ...(this.#closing.get(at) ?? [])])
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}
