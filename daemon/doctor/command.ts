import {
  type Examination,
  type ExamineOptions,
  examineDevice,
  examineMachine,
  type Finding,
  ZcrxError,
} from '../api.ts'
import { type Applier, type ApplyRequest, applyUntil, stepLine } from './apply.ts'
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
  /** TCP ports that are to come to the queue of `linux:`. */
  readonly ports?: readonly number[]
  /** Set the queue up as long as the doctor runs. */
  readonly apply?: ApplyRequest
}

/**
 * `zcrxd doctor`. Returns the exit status: 0 when the device would open, and what was tried of its driver worked.
 * @param apply for tests
 */
export async function doctorCommand(
  request: DoctorRequest,
  signal: AbortSignal,
  print: (line: string) => void,
  apply?: Applier,
): Promise<number> {
  if (request.apply === undefined) return await report(request, signal, print)
  let status = 1
  const { json } = request
  const all = await applyUntil(
    request.apply,
    signal,
    (step) => print(json ? JSON.stringify({ step }) : stepLine(step)),
    () => {
      status = printReport(examined(request), json, print)
      if (!json) print('set up until it is interrupted')
    },
    apply,
  )
  return all ? status : 1
}

async function report(
  request: DoctorRequest,
  signal: AbortSignal,
  print: (line: string) => void,
): Promise<number> {
  const found = examined(request)
  const { tried, finding } = request.try ? await attempt(signal) : {}
  const all: DoctorReport = {
    ...found,
    findings: finding === undefined ? found.findings : [...found.findings, finding],
    ok: found.ok && worked(found, tried),
    ...(tried === undefined ? {} : { tried }),
  }
  return printReport(all, request.json, print)
}

function examined({ device, areaBytes, ports }: DoctorRequest): Examination {
  const options: ExamineOptions = {
    ...(areaBytes === undefined ? {} : { areaBytes }),
    ...(ports === undefined ? {} : { ports }),
  }
  return device === undefined ? examineMachine(options) : examineDevice(device, options)
}

/** Returns the exit status. */
function printReport(report: DoctorReport, json: boolean, print: (line: string) => void): number {
  if (json) print(JSON.stringify(report))
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
