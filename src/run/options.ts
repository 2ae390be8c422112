import type { Arguments, OptionSpec } from '../core/spec.ts'

/** Of `run` and `explain`: a rewrite, by its name in rewrite.ts. */
export const withoutOption: OptionSpec = {
  flag: 'without',
  value: 'NAME',
  repeat: true,
  description:
    'leave a rewrite of the plan out (again for more): fuse, projection, filter-first, partial, top-n, threads',
}

/** The text of `run` and `explain`. */
export const jobArguments = (args: Arguments): { job: string; args: Arguments } => ({
  job: args.program[0] ?? '',
  args,
})
