import { type Examination, examineDevice, examineMachine, type Finding, ZcrxError } from '../api.ts'
import { type DoctorReport, renderExamination } from './print.ts'
import { type Trial, tryWays } from './try.ts'

export interface DoctorRequest {
  /** A device string; absent: the machine. */
  readonly device?: string
  readonly json: boolean
  /** Send and receive over each way in. */
  readonly try: boolean
  /** Absent: the library's default. */
  readonly areaBytes?: number
}

/**
 * `zcrxd doctor`. Returns the exit status: 0 when the device would open, and what was tried of its driver worked.
 */
export async function doctorCommand(
  request: DoctorRequest,
  signal: AbortSignal,
  print: (line: string) => void,
): Promise<number> {
  const options = request.areaBytes === undefined ? {} : { areaBytes: request.areaBytes }
  const { device } = request
  const found = device === undefined ? examineMachine(options) : examineDevice(device, options)
  const { tried, finding } = request.try ? await attempt(signal) : {}
  const report: DoctorReport = {
    ...found,
    findings: finding === undefined ? found.findings : [...found.findings, finding],
    ok: found.ok && worked(found, tried),
    ...(tried === undefined ? {} : { tried }),
  }
  if (request.json) print(JSON.stringify(report))
  else for (const line of renderExamination(report)) print(line)
  return report.ok ? 0 : 1
}

/** The trials, or why there can be none: that says nothing of the device. */
async function attempt(signal: AbortSignal): Promise<{ tried?: Trial[]; finding?: Finding }> {
  try {
    return { tried: await tryWays(signal) }
  } catch (error) {
    if (!(error instanceof ZcrxError)) throw error
    const cost = 'nothing was sent to see whether it arrives'
    return { finding: { check: '--try', status: 'note', found: error.message, cost, fix: error.remedy } }
  }
}

/** A driver that did not work over the scratch link won't do over the device either; of the machine, any will do. */
function worked({ chosen }: Examination, tried: readonly Trial[] | undefined): boolean {
  if (tried === undefined) return true
  const concerned = tried.filter(({ driver }) => chosen === null || driver === chosen.driver)
  return concerned.length === 0 || concerned.some(({ ok }) => ok)
}
