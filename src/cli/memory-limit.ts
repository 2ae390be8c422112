import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'

/** Bytes of memory that this process may use: the machine's, or its control group's limit when that is lower. */
export function memoryLimit(): number {
  let limit = totalmem()
  for (const file of ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']) {
    try {
      limit = Math.min(limit, Number(readFileSync(file, 'utf8')) || limit)
    } catch {
      // No such control group.
    }
  }
  return limit
}
