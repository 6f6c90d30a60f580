import type { Census } from '../api.ts'
import { gigabits, round } from '../cli/format.ts'
import type { WorkerReport } from '../run/totals.ts'
import type { PassResult, SentReply } from './protocol.ts'

/** A pass, both ends of it. */
export interface Pass {
  readonly received: PassResult
  readonly sent: SentReply
}

/** What one receiver did: the figures are the measured pass's, `verified` has those of the other. */
export interface StackReport {
  readonly driver: string
  readonly mode: string
  /** Bytes of layer 3. */
  readonly mtu: number
  readonly flows: number
  /** Bytes of each pass. */
  readonly bytes: number
  /** First byte to the end of the last stream. */
  readonly seconds: number
  readonly gbps: number
  /** Every digest of the verified pass is the same at both ends. */
  readonly sha256Ok: boolean
  readonly zeroCopiedBytes: number
  readonly copiedBytes: number
  readonly completions: number
  readonly frames: number
  readonly drops: Record<string, number>
  /** CPU time of the receiving process for 10^9 bytes. */
  readonly cpuSecondsPerGB: number
  /** After the measured pass. */
  readonly niovs: Census
  /** Of each worker, of the measured pass; absent without any. */
  readonly workers?: readonly WorkerReport[]
  /** As `ss` shows it for the live connections; null when it can't be told. */
  readonly congestionControl: string | null
  /** By the sender, in the measured pass; null when not counted. */
  readonly retransmittedSegments: number | null
  /** Places of the measured pass that were compared with what was sent there. */
  readonly samplesChecked: number
  readonly samplesWrong: number
  readonly verified: VerifiedReport
  /** Why this is not a good run; empty when it is. */
  readonly problems: readonly string[]
}

export interface VerifiedReport {
  readonly bytes: number
  readonly seconds: number
  readonly gbps: number
  readonly zeroCopiedBytes: number
  readonly copiedBytes: number
  readonly drops: Record<string, number>
  readonly niovs: Census
  readonly digests: readonly Digest[]
}

export interface Digest {
  readonly flow: number
  readonly sender: string
  /** Empty when the flow never arrived. */
  readonly receiver: string
}

/** The whole comparison; `--json` prints this very object. */
export interface DemoReport extends StackReport {
  /** Digests match, every byte arrived, no niov is lost. */
  readonly ok: boolean
  /** Why this ran over the memory link; absent when it didn't, or when that was asked for. */
  readonly fallback?: { readonly reason: string; readonly remedy: string }
  readonly peer: StackReport
}

export interface StackIdentity {
  readonly driver: string
  readonly mode: string
  readonly mtu: number
}

/** Draws up one receiver's report. @param flowBytes what each flow had to bring */
export function stackReport(
  identity: StackIdentity,
  flowBytes: readonly number[],
  verified: Pass,
  measured: Pass,
  congestionControl: string | undefined,
): StackReport {
  const digests = digestsOf(verified)
  const { received, sent } = measured
  const bytes = flowBytes.reduce((sum, each) => sum + each, 0)
  const { driver, mode, mtu } = identity
  return {
    driver,
    mode,
    mtu,
    flows: flowBytes.length,
    bytes: received.bytes,
    seconds: round(received.seconds, 6),
    gbps: round(gigabits(received.bytes, received.seconds), 3),
    sha256Ok: digests.length === flowBytes.length && digests.every(matches),
    zeroCopiedBytes: received.zeroCopiedBytes,
    copiedBytes: received.copiedBytes,
    completions: received.completions,
    frames: received.frames,
    drops: received.drops,
    cpuSecondsPerGB: round(received.bytes === 0 ? 0 : received.cpuSeconds / (received.bytes / 1e9), 4),
    niovs: received.niovs,
    ...(received.workers === undefined ? {} : { workers: received.workers }),
    congestionControl: sent.congestionControl ?? congestionControl ?? null,
    retransmittedSegments: sent.retransmittedSegments ?? null,
    samplesChecked: received.samplesChecked,
    samplesWrong: received.samplesWrong,
    verified: {
      bytes: verified.received.bytes,
      seconds: round(verified.received.seconds, 6),
      gbps: round(gigabits(verified.received.bytes, verified.received.seconds), 3),
      zeroCopiedBytes: verified.received.zeroCopiedBytes,
      copiedBytes: verified.received.copiedBytes,
      drops: verified.received.drops,
      niovs: verified.received.niovs,
      digests,
    },
    problems: [
      ...passProblems('verified', verified, bytes),
      ...digestProblems(digests),
      ...passProblems('measured', measured, bytes),
    ],
  }
}

function digestsOf({ received, sent }: Pass): Digest[] {
  return sent.flows.map((flow, index) => ({
    flow: index,
    sender: flow.sha256 ?? '',
    receiver: received.flows.find(({ port }) => port === flow.port)?.sha256 ?? '',
  }))
}

/** Two digests that are both missing prove nothing. */
function matches({ sender, receiver }: Digest): boolean {
  return sender !== '' && sender === receiver
}

function digestProblems(digests: readonly Digest[]): string[] {
  return digests.filter((digest) => !matches(digest)).map(({ flow }) => `the digests of flow ${flow} differ`)
}

function passProblems(name: string, { received, sent }: Pass, bytes: number): string[] {
  const problems: string[] = []
  if (received.bytes !== bytes) problems.push(`${name} pass: ${received.bytes} of ${bytes} bytes arrived`)
  for (const flow of sent.flows) {
    const arrived = received.flows.find(({ port }) => port === flow.port)
    if (arrived !== undefined && arrived.bytes !== flow.bytes) {
      problems.push(
        `${name} pass: the flow from port ${flow.port} brought ${arrived.bytes} of ${flow.bytes} bytes`,
      )
    }
    if (arrived?.errno)
      problems.push(`${name} pass: the flow from port ${flow.port} broke (errno ${arrived.errno})`)
  }
  if (received.samplesWrong > 0) {
    problems.push(
      `${name} pass: ${received.samplesWrong} of ${received.samplesChecked} sampled places differ`,
    )
  }
  if (received.niovs.lost > 0) problems.push(`${name} pass: ${received.niovs.lost} niovs are lost`)
  return problems
}
