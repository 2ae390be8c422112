import type { Arguments } from '../core/spec.ts'

/** The text of `run` and `explain`. */
export const jobArguments = (args: Arguments): { job: string; args: Arguments } => ({
  job: args.program[0] ?? '',
  args,
})
