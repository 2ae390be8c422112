import type { LogicalPlan } from './plan.ts'
import type { Rewrites } from './rewrite.ts'

/** The plan for people, or as JSON. */
export async function explain(plan: LogicalPlan, rewrites: Rewrites, json: boolean): Promise<string> {
  return JSON.stringify([plan.stages.length, rewrites, json])
}
