import { complain, printReport } from '../log/index.ts'
import { runDemo } from './demo.ts'
import type { DemoOptions } from './options.ts'
import { renderDemoReport } from './print.ts'
import { ProgressView } from './progress.ts'

/** `zcrxd demo`: runs it, shows it, returns the exit status: 0 only when everything that was sent arrived unchanged. */
export async function demoCommand(options: DemoOptions, json: boolean, signal: AbortSignal): Promise<number> {
  const progress = new ProgressView(process.stderr, !json)
  const say = (text: string): void => {
    progress.clear()
    complain(text)
  }
  try {
    const report = await runDemo(
      options,
      {
        onStep: say,
        onProgress: (who, pass, state, bytes) => progress.update(who, pass, state, bytes),
      },
      signal,
    )
    progress.clear()
    const text = json ? JSON.stringify(report) : `\n${renderDemoReport(report).join('\n')}`
    const unprinted = await printReport(text)
    if (unprinted !== null && unprinted !== 'EPIPE')
      say(`zcrxd: the report could not be printed: ${unprinted}`)
    return report.ok && (unprinted === null || unprinted === 'EPIPE') ? 0 : 1
  } finally {
    progress.clear()
  }
}
