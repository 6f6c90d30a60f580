/** Takes a queue of an interface of this namespace and keeps it until it is killed. Usage: holder.ts DEVICE [GUARD] */
import { type GuardKind, PacketNic } from '../../../driver/index.ts'
import { someMemory } from './setup.ts'

const [, , device, guard = 'auto'] = process.argv
const nic = PacketNic.open({ device: device!, guard: guard as GuardKind })
nic.attach(someMemory())
nic.steer(Uint8Array.of(10, 77, 0, 2), 9000)
nic.claim(Uint8Array.of(10, 77, 0, 99))
nic.arm(() => {})
console.log('ready')
