import { expect, it } from 'vitest'
import type { Native } from '../../../driver/native/index.ts'
import { askRing, type KernelFacts, zcrxSupport, zcrxSupportOf } from '../../../host/examine/zcrx-support.ts'

const GOOD: KernelFacts = {
  kernel: '6.18.4',
  disabled: '0',
  group: '-1',
  config: '\nCONFIG_IO_URING=y\nCONFIG_IO_URING_ZCRX=y\n',
  groups: [0],
  admin: false,
}

function support(
  facts: Partial<KernelFacts>,
  answer: boolean | null | number = null,
): [ioUring: string | null, zeroCopy: string | null] {
  const { ioUring, zeroCopy } = zcrxSupportOf({ ...GOOD, ...facts }, () => answer)
  return [ioUring?.message ?? null, zeroCopy?.message ?? null]
}

it('goes by version, configuration and /proc where io_uring does not tell', () => {
  expect(support({})).toEqual([null, null])
  expect(support({ config: '' })).toEqual([null, null])
  expect(support({ kernel: '6.14.9', config: '' })).toEqual([
    null,
    'Linux 6.14.9 has none: it came with 6.15',
  ])
  expect(support({ kernel: '7.3.4+deb13-amd64' })).toEqual([null, null])
  expect(support({ kernel: 'odd' })).toEqual([null, null])
  expect(support({ config: '\nCONFIG_IO_URING=y\n' })).toEqual([null, 'Linux 6.18.4 is built without it'])
  expect(support({ config: '\nCONFIG_NET=y\n' })[0]).toBe('the kernel is built without io_uring')
})

it('knows who may have rings', () => {
  expect(support({ disabled: '2', admin: true })[0]).toBe('switched off: kernel.io_uring_disabled is 2')
  expect(support({ disabled: '1' })[0]).toBe('kernel.io_uring_disabled is 1: it takes CAP_SYS_ADMIN')
  expect(support({ disabled: '1', group: '27' })[0]).toMatch(/or being in group 27$/)
  expect(support({ disabled: '1', admin: true })[0]).toBeNull()
  expect(support({ disabled: '1', group: '27', groups: [27] })[0]).toBeNull()
})

it('believes io_uring before anything else', () => {
  expect(support({ kernel: '6.1.0', config: '' }, true)).toEqual([null, null])
  expect(support({}, false)).toEqual([null, 'Linux 6.18.4 is built without it'])
  expect(support({}, -1)[0]).toMatch(/refused \(EPERM\)/)
})

it('asks a ring, and closes it', () => {
  const closed: number[] = []
  const asked = (made: number, answer: number): boolean | null | number =>
    askRing({
      uringSetup: () => made,
      uringRegister: () => answer,
      close: (fd: number) => closed.push(fd),
    } as unknown as Native)
  expect([asked(7, -95), asked(8, -22), asked(9, -1), asked(-1, 0)]).toEqual([false, null, null, -1])
  expect(closed).toEqual([7, 8, 9])
})

it('says something of this machine, and never throws', () => {
  const { ioUring, zeroCopy } = zcrxSupport()
  for (const obstacle of [ioUring, zeroCopy]) if (obstacle !== null) expect(obstacle.message).not.toBe('')
})
