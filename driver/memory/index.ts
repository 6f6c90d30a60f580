export { freshSeed, seededRandom } from '../impairments.ts'
export {
  type EndOptions,
  type Impairments,
  type LinkCounts,
  LinkDirection,
  MemoryLink,
  type MemoryLinkOptions,
} from './link.ts'
export { MemoryNic } from './nic.ts'
export type { SplitSettings } from './split.ts'
