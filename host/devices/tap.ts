import { TapNic } from '../../driver/tap/index.ts'
import { ArgumentError } from '../../errors.ts'
import { presentLink } from '../examine/index.ts'
import { checkCount, type DeviceKind, type QueueGround, type SeveralQueues, workersFor } from './kind.ts'
import { settingsText, withSetting } from './text.ts'

/** A TAP device: `tap:tap0`, `tap:tap0?persist=yes&queues=many&mtu=9000&offload=off`. */
export interface TapSpec {
  readonly driver: 'tap'
  /** Of the device. */
  readonly name: string
  /** It stays when it is closed; absent: as it is. */
  readonly persist?: boolean
  /** It has several queues; absent: as it is. */
  readonly multiQueue?: boolean
  /** Frames of up to 64 KiB both ways, whose segments and checksums are the device's business. */
  readonly offload: boolean
  /** 0 = as it is. */
  readonly mtu: number
  /** Network namespace that it is in; absent: the process's. */
  readonly netns?: string
}

export const tap: DeviceKind<TapSpec> = {
  scheme: 'tap',
  form: 'tap:NAME[?persist=yes|no&queues=one|many&mtu=BYTES&offload=on|off&netns=NAME]',
  parse(text) {
    const { name } = text.interface(false)
    const settings = text.settings('persist', 'queues', 'mtu', 'offload', 'netns')
    const persist = text.choice(settings, 'persist', ['yes', 'no'] as const, null)
    const queues = text.choice(settings, 'queues', ['one', 'many'] as const, null)
    return {
      driver: 'tap',
      name,
      ...(persist === null ? {} : { persist: persist === 'yes' }),
      ...(queues === null ? {} : { multiQueue: queues === 'many' }),
      offload: text.choice(settings, 'offload', ['on', 'off'] as const, 'on') === 'on',
      mtu: text.number(settings, 'mtu', 68, 65_521) ?? 0,
      ...text.netns(settings),
    }
  },
  open: (spec) => [openTap(spec)],
  several: tapQueues(),
  wanted: ({ name, netns }) => ({ name, netns }),
  candidates(spec) {
    const mode = spec.offload ? 'vnet_hdr tso' : 'vnet_hdr'
    return [{ name: 'tap', driver: 'tap', mode, device: `tap:${spec.name}${settingsText(spec)}` }]
  },
  observe({ name }, facts) {
    const link = presentLink(facts)
    if (link === null) return [{ check: 'interface', found: `${name} is made` }]
    if (link.info.driver === 'tun') return [{ check: 'interface', found: `${name} is joined` }]
    const found = `${name} is no TAP device but one of ${link.info.driver || 'another kind'}`
    return [{ check: 'interface', found, closes: ['tap'], fix: `zcrxd doctor auto:${name}` }]
  },
}

function openTap({ name, persist, multiQueue, offload, mtu, netns }: TapSpec): TapNic {
  return TapNic.open({
    device: name,
    offload,
    ...(persist === undefined ? {} : { persist }),
    ...(multiQueue === undefined ? {} : { multiQueue }),
    ...(mtu === 0 ? {} : { mtu }),
    ...(netns === undefined ? {} : { netns }),
  })
}

/** MAX_TAP_QUEUES of drivers/net/tun.c. */
const MOST_QUEUES = 256

/** Queues come into being as they are opened, on a device that was made for several (IFF_MULTI_QUEUE). */
function tapQueues(): SeveralQueues<TapSpec> {
  return {
    all: ({ multiQueue }, ground) =>
      multiQueue === false || hasOneQueue(ground) ? 1 : workersFor(ground.cores),
    split(text, { name, multiQueue }, count, ground) {
      if (multiQueue === false)
        throw new ArgumentError(`"${text}" has one queue, ${count} are wanted`, 'leave queues=one out')
      if (hasOneQueue(ground))
        throw new ArgumentError(
          `the TAP device ${name} was made with one queue, ${count} are wanted`,
          `ip link delete ${name}: then it is made anew; or ip tuntap add dev ${name} mode tap multi_queue`,
        )
      checkCount(text, count, MOST_QUEUES, 'queues of a TAP device')
      return Array<string>(count).fill(multiQueue === true ? text : withSetting(text, 'queues=many'))
    },
    open: (spec) => ({ nic: openTap(spec), share: null }),
    words: ({ multiQueue }, ground) => ({
      what:
        multiQueue === false || hasOneQueue(ground) ? 'the one queue there is' : 'queues of the TAP device',
      spread:
        'Linux spreads connections over them by a hash of addresses and ports, then keeps each where its answers come from',
    }),
  }
}

/** The kernel allocates as many queues as there can be ever. */
function hasOneQueue({ link }: QueueGround): boolean {
  return link?.driver === 'tun' && link.rxQueues === 1
}
