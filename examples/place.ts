import {
  type Connection,
  type ConnectOptions,
  MemoryLink,
  type OpenedHost,
  openHost,
  type ServerOptions,
} from 'zcrx'

/** Where an example runs: on the device that its command line names, or on a wire in memory with a sender of its own. */
export interface Place {
  /** Of the server: device and address. */
  readonly options: Pick<ServerOptions, 'device' | 'address' | 'ownAddress'>
  readonly port: number
  /** Somebody connects, where the example is its own peer; null: whoever likes does. */
  readonly peer: ((options?: Partial<ConnectOptions>) => Promise<Connection>) | null
  /** Gives the sender's end back. */
  close(): Promise<void>
}

/** @param args DEVICE and PORT, or nothing */
export async function placeOf([device, port = '9000']: readonly string[]): Promise<Place> {
  if (device !== undefined)
    return { options: { device }, port: Number(port), peer: null, close: () => Promise.resolve() }
  const wire = new MemoryLink()
  const far: OpenedHost = await openHost({ device: wire.a, address: '192.0.2.2', ownAddress: true })
  return {
    options: { device: wire.b, address: '192.0.2.1', ownAddress: true },
    port: 9000,
    peer: (options) => far.connect({ host: '192.0.2.1', port: 9000, ...options }),
    close: () => far.close(),
  }
}
