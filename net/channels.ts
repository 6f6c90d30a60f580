import { channel } from 'node:diagnostics_channel'
import type { Connection } from './connection.ts'

/**
 * What is published on `node:diagnostics_channel`, by channel: its name behind `zcrx:`. Messages name live objects; a subscriber that throws is
 * reported by Node as an uncaught exception and harms no connection.
 */
export interface ChannelMessages {
  /** A server listens. */
  readonly 'server:listening': { readonly server: object }
  /** It was closed. */
  readonly 'server:close': { readonly server: object }
  /** A connection was accepted, or made. */
  readonly 'connection:open': { readonly connection: Connection }
  /** Everything of it was given back. */
  readonly 'connection:close': { readonly connection: Connection }
  /** Somebody begins to connect. */
  readonly 'connect:start': { readonly address: string; readonly port: number }
  /** It failed. */
  readonly 'connect:error': { readonly address: string; readonly port: number; readonly error: unknown }
  /** A device went away. */
  readonly 'host:gone': { readonly error: Error }
}

type Name = keyof ChannelMessages

const names: readonly Name[] = [
  'server:listening',
  'server:close',
  'connection:open',
  'connection:close',
  'connect:start',
  'connect:error',
  'host:gone',
]

/** The names of all channels, as `diagnostics_channel.subscribe` takes them. */
export const CHANNELS: readonly string[] = names.map((name) => `zcrx:${name}`)

const channels = Object.fromEntries(names.map((name) => [name, channel(`zcrx:${name}`)]))

/** Publishes, if anybody has subscribed. */
export function tell<T extends Name>(name: T, message: ChannelMessages[T]): void {
  const to = channels[name]!
  if (to.hasSubscribers) to.publish(message)
}
