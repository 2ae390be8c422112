import type { Arguments, OptionSpec } from '../core/spec.ts'

/** Of `run` and `explain`: a rewrite, by its name in rewrite.ts. */
export const withoutOption: OptionSpec = {
  flag: 'without',
  value: 'NAME',
  repeat: true,
  description:
    'leave a rewrite of the plan out (again for more): fuse, projection, filter-first, partial, top-n, threads',
}

/** Of both, too: how the pipeline is run. */
export const modeOption: OptionSpec = {
  flag: 'mode',
  value: 'MODE',
  choices: ['fused', 'pipes', 'parallel'],
  default: 'fused',
  oneThread: true, // or it need not be said
  description: 'fused: in one process. pipes: a process a stage, as in a shell. parallel: tasks on pieces of the files',
}
export const outOption: OptionSpec = {
  flag: 'out',
  value: 'DIR',
  description:
    'parallel: the result as files in DIR, part-00000.ndjson …, which appear when they are complete, and _SUCCESS last',
}
export const splitOption: OptionSpec = {
  flag: 'split',
  value: 'SIZE',
  description: 'parallel: how much of a file a task reads',
  default: 'some tasks a worker, 4MiB to 256MiB',
}

/** The text of `run` and `explain`. */
export const jobArguments = (args: Arguments): { job: string; args: Arguments } => ({
  job: args.program[0] ?? '',
  args,
})

/** What to do where the shell has made several words of a pipeline. */
export const oneText = "a pipeline is one text, in quotes: beck run 'filter r.ok | to csv'"
