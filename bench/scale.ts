import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { cell, guarded, machine } from './harness.ts'
import { acceptTable, measureAccept } from './scale-accept.ts'
import { type GrowthResult, measureGrowth } from './scale-growth.ts'
import { measureMemory } from './scale-memory.ts'
import { measureTimers, type TimerResult } from './scale-timers.ts'
import { printed, type Table, table } from './table.ts'

const ARMED = [1, 1000, 100_000, 1_000_000]
const PARTS = ['accept', 'growth', 'memory', 'timers'] as const

export function growthTable(growth: GrowthResult): Table {
  const { ms, connection } = growth.longestAlways
  return table(
    ['', 'p99.9 ms', 'longest ms'],
    [
      ['all', cell(growth.p999, 4), cell(growth.longest, 3)],
      ['without garbage collection', cell(growth.p999WithoutGc, 4), cell(growth.longestWithoutGc, 3)],
      [`in every round, connection ${connection}`, '', ms.toFixed(3)],
    ],
  )
}

export function timersTable(timers: readonly TimerResult[]): Table {
  return table(
    ['timers armed', 'arm and cancel, ns'],
    timers.map(({ armed, nsPerArmAndCancel }) => [String(armed), cell(nsPerArmAndCancel, 1)]),
  )
}

/**
 * Many connections: how fast they are accepted, with node:net and Linux's rings beside (as root), how long the stack is away while its
 * tables grow, what idle ones take, and what a timer costs among a million. Tables on stderr, one JSON object as the last line on stdout.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '100000' },
      accepts: { type: 'string', default: '10000' },
      runs: { type: 'string', default: '5' },
      only: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
    },
  })
  const connections = parseInteger(values.connections, 'number of connections', 1000, 10_000_000)
  const accepts = parseInteger(values.accepts, 'number of connections', 100, 60_000)
  const rounds = parseInteger(values.runs, 'number of runs', 1, 1000)
  const parts: readonly string[] = values.only?.map((text) => parseChoice(text, 'part', PARTS)) ?? PARTS
  const say = (title: string, lines: readonly string[]): void => {
    if (!values.json) process.stderr.write(`${title}\n\n${lines.join('\n')}\n\n`)
  }
  const results: Record<string, unknown> = {}
  if (parts.includes('memory')) {
    const used = measureMemory(connections)
    results.memory = used
    say(`${connections} idle connections of a stack`, [
      `${used.bytesPerConnection} B each after a request and a response, ${used.bytesAfterHandshake} B after the handshake`,
    ])
  }
  if (parts.includes('growth')) {
    const growth = await measureGrowth(connections, rounds)
    results.growth = growth
    say(`passes of the stack while ${connections} connections are opened`, printed(growthTable(growth)))
  }
  if (parts.includes('accept')) {
    if (process.getuid?.() !== 0) {
      process.stderr.write('accepting: not measured, namespaces and AF_XDP need root\n\n')
    } else {
      const rows = await measureAccept(accepts, rounds)
      results.accept = rows
      say(
        `${accepts} connections over a link; median (min-max) of ${rounds} rounds`,
        printed(acceptTable(rows)),
      )
    }
  }
  if (parts.includes('timers')) {
    const timers = ARMED.map((armed) => measureTimers(armed, rounds))
    results.timers = timers
    say('arming a timer and cancelling it; median (min-max)', printed(timersTable(timers)))
  }
  process.stdout.write(
    `${JSON.stringify({ bench: 'scale', machine: machine(), connections, accepts, rounds, ...results })}\n`,
  )
}
