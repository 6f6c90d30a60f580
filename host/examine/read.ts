import { readdirSync, readFileSync } from 'node:fs'

/** Why something can't be had, and a command that would help where one exists; null = it can be had. */
export type Obstacle = { readonly message: string; readonly fix: string } | null

/** A file of /proc or /sys; empty when it is not there, or not for us. */
export function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}

/** The same of a directory. */
export function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
