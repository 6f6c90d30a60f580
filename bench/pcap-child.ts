import { type CaseJob, runCase } from './pcap-cases.ts'

/** A process for one case of `pcap.ts`: what others have had compiled would slow it down. */
console.log(JSON.stringify(await runCase(JSON.parse(process.argv[2]!) as CaseJob)))
