import { TapNic } from '../../driver/tap/index.ts'
import { presentLink } from '../examine/index.ts'
import type { DeviceKind } from './kind.ts'
import { settingsText } from './text.ts'

/** A TAP device: `tap:tap0`, `tap:tap0?persist=yes&queues=many&mtu=9000&offload=off`. */
export interface TapSpec {
  readonly driver: 'tap'
  readonly name: string
  readonly persist?: boolean
  readonly multiQueue?: boolean
  readonly offload: boolean
  /** 0 = as it is. */
  readonly mtu: number
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
  open({ name, persist, multiQueue, offload, mtu, netns }) {
    const options = {
      device: name,
      offload,
      ...(persist === undefined ? {} : { persist }),
      ...(multiQueue === undefined ? {} : { multiQueue }),
      ...(mtu === 0 ? {} : { mtu }),
      ...(netns === undefined ? {} : { netns }),
    }
    return [TapNic.open(options)]
  },
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
