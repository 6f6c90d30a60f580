import { existsSync } from 'node:fs'

const SYSTEM = '/usr/bin/python3'

/** The system's own Python starts in 15 ms; what PATH names first may be a wrapper that takes ten times as long. */
export const PYTHON: string = existsSync(SYSTEM) ? SYSTEM : 'python3'
