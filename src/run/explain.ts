import { formatFieldPath } from '../core/field-path.ts'
import type { LogicalPlan } from './plan.ts'

/** The plan for people, or as JSON. */
export function explain(plan: LogicalPlan, json: boolean): string {
  const stages = plan.stages.map((stage) =>
    stage.kind === 'tee'
      ? { stage: 'tee' }
      : { stage: stage.name, role: stage.role, reads: stage.reads?.map(formatFieldPath) },
  )
  if (json) return `${JSON.stringify({ stages }, null, 2)}\n`
  return stages.map((stage) => `${JSON.stringify(stage)}\n`).join('')
}
