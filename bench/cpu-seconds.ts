/** CPU time of this process, user and system. Loads nothing: for children that are to have loaded only what they measure. */
export function cpuSeconds(): number {
  const { userCPUTime, systemCPUTime } = process.resourceUsage()
  return (userCPUTime + systemCPUTime) / 1e6
}
