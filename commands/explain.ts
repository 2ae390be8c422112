import type { CommandSpec } from '../src/core/spec.ts'
import { jobArguments, withoutOption } from '../src/run/options.ts'

export const explain: CommandSpec = {
  name: 'explain',
  summary: 'Show how a pipeline would be run',
  description:
    'Reads TEXT as beck run does and writes its plan: the stages, which of them run as one, the fields that are extracted, what is kept in memory. ' +
    'Nothing is run, read or opened.',
  program: [{ name: 'TEXT', description: 'a pipeline, or a file of one' }],
  files: false,
  options: [withoutOption, { flag: 'json', description: 'as one JSON document' }],
  common: ['args', 'store'],
  cost: { time: 'O(text)', memory: 'O(text)' },
  errors: ['usage', 'unknown-command', 'no-such-file'],
  examples: [
    {
      says: 'What runs as one',
      command: `beck explain 'filter "r.delay > 15" fixtures/flights.ndjson | reduce count --by origin | sort --by -count'`,
    },
  ],
  create: (args) => ({ role: 'job', action: 'explain', ...jobArguments(args) }),
}
