import type { CommandSpec } from '../src/core/spec.ts'
import { jobArguments, modeOption, oneText, outOption, splitOption, withoutOption } from '../src/run/options.ts'

export const run: CommandSpec = {
  name: 'run',
  summary: 'Run a pipeline of commands that is written as one text',
  description:
    'TEXT is what would stand in the shell, without `beck`: stages between "|", quoted as there. Or it is the name of a file with such a text, ' +
    'which may have comments and line breaks, and a first line `#!/usr/bin/env -S beck run`. Other programs stand behind `via --`. ' +
    'A table of join may be a pipeline in brackets, join (replay orders | filter r.ok) --on id, and tee (filter r.bad | append problems) sends records ' +
    'into a second pipeline as well. Values come with --arg name=value, as args.name in expressions. Nothing is read or started before the whole text ' +
    'is understood; beck explain shows the plan.',
  program: [{ name: 'TEXT', description: 'a pipeline, or a file of one', optional: true, tooMany: oneText }],
  files: false,
  options: [
    withoutOption,
    modeOption,
    outOption,
    { flag: 'resume', value: 'DIR', description: 'go on with the job of DIR: what is done is not done again' },
    {
      flag: 'attempts',
      value: 'N',
      description: 'parallel: how often a task is tried whose worker dies',
      default: '4',
    },
    { flag: 'speculate', description: 'parallel: try what takes much longer than the rest once more, beside' },
    splitOption,
    {
      flag: 'stats',
      value: 'FORMAT',
      choices: ['json'],
      description: 'what each stage did, as a line of JSON on stderr',
    },
    {
      flag: 'restart',
      description:
        'when an exactly-once pipeline crashes, start it again from its last checkpoint, after longer and longer pauses',
    },
    { flag: 'print-shell', description: 'write the line that does the same in a shell, and run nothing' },
  ],
  common: ['args', 'workers', 'memory', 'tmp', 'store'],
  cost: { time: "the stages'", memory: "the stages'" },
  errors: ['usage', 'unknown-command', 'no-such-file', 'process'],
  examples: [
    {
      says: 'The busiest airports of the late flights',
      command:
        'beck run \'filter "r.delay > 15" fixtures/flights.ndjson | reduce count --by origin | sort --by -count --limit 2\'',
      output: '{"origin":"PHX","count":316}\n{"origin":"LAS","count":293}\n',
    },
    {
      says: 'A value from the shell: it is data, never code',
      command: `beck run 'filter "r.origin === args.airport" fixtures/flights.ndjson | reduce count' --arg airport=LAX`,
      output: '{"count":908}\n',
    },
    {
      says: 'The same in the shell',
      command: `beck run --print-shell 'filter "r.delay > 15" | reduce count'`,
      output: `beck filter 'r.delay > 15' | beck reduce count\n`,
    },
  ],
  create: (args) => ({ role: 'job', action: 'run', ...jobArguments(args) }),
}
