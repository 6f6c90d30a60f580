/** Holds a port by a table of nftables until it is killed. Usage: holder.ts DEVICE owned|unowned */
import { NftablesGuard } from '../../../driver/guard/nftables.ts'
import { loadNative } from '../../../driver/index.ts'

const [, , device, how] = process.argv
const guard = new NftablesGuard(loadNative(), device!, undefined, how === 'owned')
guard.hold(Uint8Array.of(10, 77, 0, 2), 9000)
console.log('ready')
setInterval(() => {}, 1000)
