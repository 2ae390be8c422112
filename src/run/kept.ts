import type { Stage } from '../core/spec.ts'
import { writesBeside } from './lines.ts'
import type { CommandStage } from './plan.ts'

/** What a stage of an exactly-once pipeline keeps at each checkpoint, in words. */
export function keptBy(of: CommandStage): string {
  const { name, role, stage } = of
  if (role === 'tool') return 'the offsets up to each checkpoint'
  if (role === 'sink') return 'none: it commits, at each checkpoint, offsets and state with what has come'
  const beside = writesBeside(of) ? 'how long the files beside the output are' : undefined
  const own = stage && snapshotsOf(stage, name)
  return [own, beside].filter((part) => part !== undefined).join(', and ') || 'none'
}

function snapshotsOf(stage: Stage, name: string): string | undefined {
  if (stage.role === 'table') return 'which table it has been joined with'
  if (stage.role !== 'operator' && stage.role !== 'pair') return undefined
  switch (stage.snapshots) {
    case true:
      return 'a snapshot of all that it holds'
    case 'changes':
      return 'a snapshot of what has changed'
    case 'appends':
      return 'a snapshot of what has been added'
    default:
      return stage.role === 'operator' && stage.parallel === 'stateless' ? undefined : `${name} is refused there`
  }
}
