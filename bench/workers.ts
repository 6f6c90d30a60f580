import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { guarded, machine } from './harness.ts'
import { printed } from './table.ts'
import { echoTable, measureEcho } from './workers-echo.ts'
import { measureMemory, memoryTable } from './workers-memory.ts'
import { measureVeth, vethTable } from './workers-veth.ts'

const VETH_SECONDS = 2
const PARTS = ['memory', 'veth', 'echo'] as const

/**
 * A server on workers beside one inline: frames that lie in the area already, over veth, and the time that an echo takes. Tables
 * on stderr, one JSON object as the last line on stdout.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      packets: { type: 'string', default: '1000000' },
      echoes: { type: 'string', default: '10000' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
    },
  })
  const packets = parseInteger(values.packets, 'number of packets', 1000, 1e9)
  const echoes = parseInteger(values.echoes, 'number of echoes', 100, 1e9)
  const rounds = parseInteger(values.rounds, 'number of rounds', 1, 1000)
  const parts: readonly string[] = values.only?.map((text) => parseChoice(text, 'part', PARTS)) ?? PARTS
  const say = (title: string, lines: readonly string[]): void => {
    if (!values.json)
      process.stderr.write(`${title}; median (min-max) of ${rounds} rounds\n\n${lines.join('\n')}\n\n`)
  }
  const results: Record<string, unknown> = {}
  if (parts.includes('memory')) {
    const rows = await measureMemory(packets, rounds)
    results.memory = rows
    say(`frames in place, ${packets} packets a round`, printed(memoryTable(rows)))
  }
  if (parts.includes('veth')) {
    if (process.getuid?.() !== 0) {
      process.stderr.write('over veth: not measured, namespaces and AF_XDP need root\n\n')
    } else {
      const rows = await measureVeth(VETH_SECONDS, rounds, (name, why) =>
        process.stderr.write(`over veth, ${name}: not measured: ${why}\n`),
      )
      results.veth = rows
      say('eight streams over veth', printed(vethTable(rows)))
    }
  }
  if (parts.includes('echo')) {
    const rows = await measureEcho(echoes, rounds)
    results.echo = rows
    say(`echo of 64 bytes, ${echoes} a round`, printed(echoTable(rows)))
  }
  process.stdout.write(
    `${JSON.stringify({ bench: 'workers', machine: machine(), packets, rounds, ...results })}\n`,
  )
}
