import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Suites that take long, longest first: the last of them would else keep one worker busy while the others have nothing left. */
const LONG = [
  'uapi/worker-backend',
  'conformance/worker',
  'conformance/record',
  'fuzz/main',
  'uapi/programs',
  'stack/steady',
  'packetdrill/scripts',
  'daemon/captures',
  'daemon/end-to-end',
  'workers/dying',
  'differential/elsewhere',
  'e2e/device-queues',
  'e2e/matrix',
  'e2e/matrix-workers',
  'e2e/matrix-faults',
  'e2e/bench',
]

/** Vitest's order, but for the suites that take long. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const order = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
      return at < 0 ? LONG.length : at
    }
    return order
      .map((file) => [rank(file), file] as const)
      .sort(([a], [b]) => a - b)
      .map(([, file]) => file)
  }
}
