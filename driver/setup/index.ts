export {
  applyQueueSetup,
  type QueueSetup,
  type QueueSetupOptions,
  type SetupStep,
  type StepOutcome,
} from './apply.ts'
export { type FlowRule, listRules, type PortRule, ruleCommand } from './rules.ts'
export { isDefault, queuesOf, spreadCommand, withoutQueue } from './spread.ts'
export { NTUPLE, type QueueSwitches } from './switches.ts'
