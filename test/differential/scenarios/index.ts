import type { Scenario } from '../scenario.ts'
import { accept } from './accept.ts'
import { buffers } from './buffers.ts'
import { bundle } from './bundle.ts'
import { cancel } from './cancel.ts'
import { close } from './close.ts'
import { command } from './command.ts'
import { entries } from './entries.ts'
import { files } from './files.ts'
import { drain, link } from './link.ts'
import { message } from './message.ts'
import { open } from './open.ts'
import { overflow } from './overflow.ts'
import { poll } from './poll.ts'
import { provided } from './provided.ts'
import { query } from './query.ts'
import { recv } from './recv.ts'
import { recvZc } from './recv-zc.ts'
import { recvZcEnd, recvZcErrors } from './recv-zc-end.ts'
import { register } from './register.ts'
import { send } from './send.ts'
import { setup } from './setup.ts'
import { linkTimeout, timeout } from './timeout.ts'
import { zcrx } from './zcrx.ts'
import { cancelZc, fullZc } from './zcrx-cancel.ts'
import { zcrxCtrl, zcrxShare } from './zcrx-ctrl.ts'
import { zcrxEvents } from './zcrx-events.ts'
import { queue } from './zcrx-queue.ts'
import { exhaustion, refill } from './zcrx-refill.ts'

export const SCENARIOS: readonly Scenario[] = [
  ...setup,
  ...entries,
  ...overflow,
  ...open,
  ...accept,
  ...send,
  ...recv,
  ...buffers,
  ...provided,
  ...bundle,
  ...poll,
  ...cancel,
  ...link,
  ...drain,
  ...timeout,
  ...linkTimeout,
  ...files,
  ...message,
  ...close,
  ...command,
  ...register,
  ...query,
  ...zcrx,
  ...recvZc,
  ...recvZcEnd,
  ...recvZcErrors,
  ...exhaustion,
  ...refill,
  ...cancelZc,
  ...fullZc,
  ...zcrxCtrl,
  ...zcrxShare,
  ...zcrxEvents,
  ...queue,
]

/** The scenarios by their theme. */
export const THEMES: ReadonlyMap<string, readonly Scenario[]> = byTheme()

function byTheme(): Map<string, Scenario[]> {
  const themes = new Map<string, Scenario[]>()
  for (const scenario of SCENARIOS) {
    const theme = scenario.name.split('.')[0]!
    themes.set(theme, [...(themes.get(theme) ?? []), scenario])
  }
  return themes
}
