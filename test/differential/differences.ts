import type { KernelVersion } from './scenario.ts'

/** A place where this package's stack answers otherwise than Linux, and why that stays so. */
export interface Difference {
  readonly scenario: string
  /** The lines of the account that differ. */
  readonly ours: readonly string[]
  readonly linux: readonly string[]
  readonly reason: string
  /** Of kernels before this one only: the newest does as ours. */
  readonly until?: KernelVersion
  /** Of kernels from this one on. */
  readonly since?: KernelVersion
}

const NEWER = 'ours is what Linux 7.3 does'
const INLINE =
  'urgent data is in line unless SO_OOBINLINE is cleared: RFC 6093 wants it so, and nothing gets out of order'
const NOTICE = 'an entry that is refused while it is taken has one completion; no notification is promised'

const AREA =
  'an area of ours ends before 4 GiB, and what is longer is refused for its length; none of it is an area anywhere'
const NUMBER =
  'Linux takes the low 32 bits of the number of a buffer: an offset beyond 16 TiB names another one there'

/** All there are. One that is no more is an error, as is one that is not here. */
export const DIFFERENCES: readonly Difference[] = [
  {
    scenario: 'setup.iopollRefuses',
    ours: ['command: 8 0'],
    linux: ['command: 8 EOPNOTSUPP'],
    reason: NEWER,
    until: [7, 3],
  },
  {
    scenario: 'bundle.exactlyExhausted',
    ours: ['both: 1 16 BUFFER #0', 'then: nothing'],
    linux: ['both: 1 16 BUFFER MORE #0', 'then: 1 ENOBUFS'],
    reason: NEWER,
    until: [7, 3],
  },
  {
    scenario: 'bundle.mixedSizes',
    ours: ['send 30: 1 6 BUFFER #10'],
    linux: ['send 30: 1 6 BUFFER MORE #10'],
    reason: NEWER,
    until: [7, 3],
  },
  {
    scenario: 'bundle.waitAll',
    ours: ['some: 1 10 BUFFER #0', 'all: nothing'],
    linux: ['some: nothing', 'all: 1 16 BUFFER NONEMPTY #0'],
    reason: NEWER,
    until: [7, 3],
  },
  {
    scenario: 'query.errors',
    ours: ['0 with 4097 E2BIG 0/4097', '100 with 4097 E2BIG 0/4097'],
    linux: ['0 with 4097 0 0/48', '100 with 4097 0 EOPNOTSUPP/0'],
    reason: NEWER,
    until: [7, 3],
  },
  {
    scenario: 'bundle.send',
    ours: ['send: 1 EINVAL', 'recv EAGAIN head 0'],
    linux: ['send: 1 15 BUFFER #0', 'recv 15 ax4 bx5 cx6 head 3'],
    reason: 'bundles are for receiving: a SEND takes one buffer',
  },
  {
    scenario: 'entries.unserved',
    ours: ['SENDMSG_ZC: 48 EINVAL'],
    linux: ['SENDMSG_ZC: 48 EINVAL MORE', 'SENDMSG_ZC: 48 0 NOTIF'],
    reason: NOTICE,
  },
  {
    scenario: 'send.zeroCopyErrors',
    ours: ['ioprio: 5 EINVAL'],
    linux: ['ioprio: 5 EINVAL MORE', 'ioprio: 5 0 NOTIF'],
    reason: NOTICE,
  },
  {
    scenario: 'entries.ioprio',
    ours: ['send 32: 11 EINVAL'],
    linux: ['send 32: 11 0'],
    reason: 'IORING_SEND_VECTORIZED is not served: a SEND has one piece of memory',
  },
  {
    scenario: 'open.bindReusePort',
    ours: ['listen EADDRINUSE'],
    linux: ['listen 0'],
    reason: 'SO_REUSEPORT lets several be bound, and one of them listen: connections are spread by queues',
  },
  {
    scenario: 'send.urgent',
    ours: ['recv 5 abczz EAGAIN'],
    linux: ['recv 4 abcz EAGAIN'],
    reason: INLINE,
  },
  {
    scenario: 'command.socketLevel',
    ours: ['SO_OOBINLINE connected 4 1', 'SO_OOBINLINE fresh 4 1', 'SO_OOBINLINE listening 4 1'],
    linux: ['SO_OOBINLINE connected 4 0', 'SO_OOBINLINE fresh 4 0', 'SO_OOBINLINE listening 4 0'],
    reason: INLINE,
  },
  {
    scenario: 'recv.waitAllPeek',
    ours: ['some: nothing', 'enough: 1 6 NONEMPTY'],
    linux: ['some: 1 6 NONEMPTY', 'enough: nothing'],
    reason: 'Linux looks at the same bytes again and counts them twice',
  },
  {
    scenario: 'poll.listener',
    ours: ['ready: 1 1'],
    linux: ['ready: 1 3'],
    reason: 'Linux tells POLLPRI whenever something can be read; here it says that data is urgent',
  },
  {
    scenario: 'register.eventfd',
    ours: ['bad descriptor EINVAL'],
    linux: ['bad descriptor EBUSY'],
    reason: 'no descriptors of events are registered: `Ring.arm` calls back. Rings of Linux have one for it',
  },
  {
    scenario: 'register.restrictions',
    ours: ['NOP only EINVAL'],
    linux: ['NOP only 0'],
    reason: 'restrictions are not served: a ring of ours crosses no border of trust that they would hold',
  },
  {
    scenario: 'register.restrictions',
    ours: ['timeout: 2 ETIME'],
    linux: ['timeout: 2 EACCES'],
    reason: 'as above',
  },
  {
    scenario: 'zcrx.area',
    ours: ['very many at the end EOVERFLOW', 'in the middle EINVAL'],
    linux: ['very many at the end EINVAL', 'in the middle EFAULT'],
    reason: AREA,
  },
  {
    scenario: 'zcrx.area',
    ours: ['length 2^32 EINVAL', 'length 2^40 EINVAL'],
    linux: ['length 2^32 EFAULT', 'length 2^40 EOVERFLOW'],
    reason: AREA,
  },
  {
    scenario: 'zcrx.area',
    ours: ['length ffffffff:fffff000 EOVERFLOW'],
    linux: ['length ffffffff:fffff000 EINVAL'],
    reason: AREA,
  },
  {
    scenario: 'refill.farBeyond',
    ours: ['head 1'],
    linux: [],
    reason: NUMBER,
  },
  {
    scenario: 'refill.farBeyond',
    ours: [],
    linux: ['head 2'],
    reason: NUMBER,
  },
  {
    scenario: 'recvZcEnd.resetBehindDataPollFirst',
    ours: ['data: 1 ECONNRESET'],
    linux: [],
    reason:
      'Linux does not look again after data: the request is told of a reset from before never, here at once',
  },
]
