import type { CommandSpec } from '../src/core/spec.ts'
import { jobArguments, modeOption, oneText, outOption, splitOption, withoutOption } from '../src/run/options.ts'

export const explain: CommandSpec = {
  name: 'explain',
  summary: 'Show how a pipeline would be run',
  description:
    'Reads TEXT as beck run does and writes its plan: the stages, which of them run as one, the fields that are extracted, what is kept in memory, and what at checkpoints. ' +
    'With --mode parallel it shows the tasks: how many, what each does, and what goes from one to the other. Nothing is run, read or opened; for tasks, files ' +
    'are looked at.',
  program: [{ name: 'TEXT', description: 'a pipeline, or a file of one', tooMany: oneText }],
  files: false,
  options: [withoutOption, modeOption, outOption, splitOption, { flag: 'json', description: 'as one JSON document' }],
  common: ['args', 'workers', 'store'],
  threads: false,
  cost: { time: 'O(text)', memory: 'O(text)' },
  errors: ['usage', 'unknown-command', 'no-such-file'],
  examples: [
    {
      says: 'What runs as one',
      command: `beck explain 'filter "r.delay > 15" fixtures/flights.ndjson | reduce count --by origin | sort --by -count'`,
    },
    {
      says: 'What is done in tasks',
      command: `beck explain --mode parallel --workers 2 'from combined fixtures/access.log | shuffle --by path --partitions 4 | reduce count --by path | sort --by -count'`,
    },
  ],
  create: (args) => ({ role: 'job', action: 'explain', ...jobArguments(args) }),
}
