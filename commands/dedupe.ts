import { parseKeyFields, Projection } from '../src/core/field-path.ts'
import { BeckError } from '../src/core/errors.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import { DedupeFirst } from '../src/dedupe/first.ts'

export const dedupe: CommandSpec = {
  name: 'dedupe',
  summary: 'Keep one record per key',
  description:
    'The first record of each key leaves at once, in order, byte for byte. Keys are equal as JSON values: 1 is 1.0, and a missing key is null.',
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'records with the same values of these fields are duplicates' },
    { flag: 'dupes-to', value: 'FILE', description: 'keep the duplicates in FILE' },
  ],
  common: ['input', 'memory', 'tmp'],
  cost: { time: 'O(records)', memory: 'O(keys)' },
  errors: ['bad-record', 'bad-option'],
  examples: [
    {
      says: 'One record of each, the others apart',
      command: `printf '%s\\n' '{"id":1,"n":"a"}' '{"id":2,"n":"b"}' '{"id":1.0,"n":"c"}' | beck dedupe --by id`,
      output: '{"id":1,"n":"a"}\n{"id":2,"n":"b"}\n',
    },
  ],
  create({ options }: Arguments): Stage {
    if (options['by'] === undefined) {
      throw new BeckError('usage', { problem: 'dedupe needs --by', hint: 'beck dedupe --by id' })
    }
    const projection = new Projection()
    const fields = parseKeyFields(options['by'] as string).map(({ path }) => projection.add(path))
    const dupesTo = options['dupes-to'] as string | undefined
    return {
      role: 'operator',
      reads: projection.paths,
      open: (context) => new DedupeFirst({ fields, dupesTo }, context),
    }
  },
}
