import type { Census, Server, ServerStats } from '../api.ts'
import type { CaptureReport } from '../capture.ts'
import { formatBytes, formatCount } from '../cli/format.ts'
import { renderTable } from '../cli/table.ts'
import type { ConnectionRecord, ReceiverTotals } from './receiver.ts'

/** What `zcrxd run` prints when it ends; with `--json` this very object. */
export interface RunReport extends ReceiverTotals {
  readonly driver: string
  readonly mode: string
  readonly device: string
  /** The first. */
  readonly queue: number
  readonly queues: number
  /** `192.0.2.1:9000, [2001:db8::1]:9000`. */
  readonly listen: string
  readonly sink: string
  /** From listening to the end. */
  readonly seconds: number
  readonly zeroCopiedBytes: number
  readonly copiedBytes: number
  readonly completions: number
  readonly frames: number
  readonly drops: ServerStats['drops']
  readonly niovs: Census
  /** Of each worker, when there are any. */
  readonly workers?: readonly WorkerReport[]
  /** Connections that the server still held when everything had ended. */
  readonly openConnections: number
  /** Log lines that nobody took, or that could not be written. */
  readonly logLinesDropped: number
  /** When one was asked for. */
  readonly capture?: CaptureReport
  /** The latest connections, oldest first. */
  readonly connectionList: readonly ConnectionRecord[]
}

/** What one worker did. */
export interface WorkerReport {
  readonly worker: number
  readonly connections: number
  readonly zeroCopiedBytes: number
  readonly copiedBytes: number
  readonly frames: number
  readonly niovs: Census
}

export function workerReports(server: Pick<Server, 'queueStats' | 'queueCensus'>): WorkerReport[] {
  const census = server.queueCensus()
  return server.queueStats().map((stats, worker) => {
    const { connections, zeroCopiedBytes, copiedBytes, frames } = stats
    return { worker, connections, zeroCopiedBytes, copiedBytes, frames, niovs: census[worker]! }
  })
}

/** A line for each worker. */
export function workerLines(workers: readonly WorkerReport[] = []): string[] {
  return workers.map(
    ({ worker, connections, zeroCopiedBytes, copiedBytes, frames, niovs }) =>
      `worker ${worker}: ${formatCount(connections)} connections, ${formatBytes(zeroCopiedBytes)} in place, ` +
      `${formatBytes(copiedBytes)} copied, ${formatCount(frames)} frames; niovs: ${niovs.total} in all, ${niovs.lost} lost`,
  )
}

/** The report for people. */
export function renderRunReport(report: RunReport): string[] {
  const lines: string[] = []
  if (report.connectionList.length > 0) {
    lines.push(
      ...renderTable(
        ['connection', 'remote', 'received', 'stored', 'seconds', 'Gbit/s', 'end'],
        report.connectionList.map((record) => [
          String(record.id),
          record.remote,
          formatBytes(record.receivedBytes),
          formatBytes(record.sinkBytes),
          record.seconds.toFixed(3),
          record.gbps.toFixed(2),
          record.end,
        ]),
      ),
    )
    for (const record of report.connectionList) {
      if (record.sha256 !== undefined) lines.push(`sha256 of connection ${record.id}: ${record.sha256}`)
      if (record.path !== undefined) lines.push(`file of connection ${record.id}: ${record.path}`)
      if (record.error !== undefined) {
        lines.push(`connection ${record.id} failed after ${record.sinkBytes} bytes stored: ${record.error}`)
      }
    }
    lines.push('')
  }
  const older = report.connections - report.connectionList.length
  if (older > 0) lines.push(`${formatCount(older)} earlier connections are in the sums only`)
  const dropped = Object.entries(report.drops).filter(([, count]) => count > 0)
  lines.push(
    `${formatCount(report.connections)} connections in ${report.seconds.toFixed(1)} s on ${report.listen}: ` +
      `${formatBytes(report.receivedBytes)} received, ${formatBytes(report.sinkBytes)} into ${report.sink}`,
    `${formatCount(report.broken)} reset or timed out, ${formatCount(report.cut)} transfers cut, ` +
      `${formatCount(report.sinkFailures)} not all stored; ${formatCount(report.openConnections)} connections still held`,
    `${formatBytes(report.zeroCopiedBytes)} in place, ${formatBytes(report.copiedBytes)} copied, ` +
      `${formatCount(report.completions)} completions, ${formatCount(report.frames)} frames`,
    `drops: ${dropped.length === 0 ? 'none' : dropped.map(([cause, count]) => `${cause} ${formatCount(count)}`).join(', ')}`,
    `niovs: ${report.niovs.total} in all, ${report.niovs.free} free, ${report.niovs.fill} fill, ${report.niovs.rx} rx, ` +
      `${report.niovs.queued} queued, ${report.niovs.user} user, ${report.niovs.lost} lost`,
  )
  lines.push(...workerLines(report.workers))
  if (report.logLinesDropped > 0) lines.push(`${formatCount(report.logLinesDropped)} log lines were dropped`)
  if (report.capture !== undefined) lines.push(...captureLines(report.capture))
  return lines
}

function captureLines({ files, received, sent, missed, error }: CaptureReport): string[] {
  const where = files.length > 1 ? `${files.length} files, ${files[0]} to ${files.at(-1)}` : `${files[0]}`
  const lines = [`captured: ${formatCount(received)} frames received, ${formatCount(sent)} sent, in ${where}`]
  if (error !== undefined) lines.push(`capture ended early, ${formatCount(missed)} frames missing: ${error}`)
  return lines
}
