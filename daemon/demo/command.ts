import { type DemoOptions, runDemo } from './demo.ts'
import { renderDemoReport } from './print.ts'
import { ProgressView } from './progress.ts'

/** `zcrxd demo`: runs it, shows it, returns the exit status: 0 only when everything that was sent arrived unchanged. */
export async function demoCommand(options: DemoOptions, json: boolean, signal: AbortSignal): Promise<number> {
  const progress = new ProgressView(process.stderr, !json)
  const say = (text: string): void => {
    progress.clear()
    process.stderr.write(`${text}\n`)
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
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : `\n${renderDemoReport(report).join('\n')}\n`)
    return report.ok ? 0 : 1
  } finally {
    progress.clear()
  }
}
