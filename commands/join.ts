import { BeckError } from '../src/core/errors.ts'
import { Projection } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, OperatorStage, Stage, TableStage } from '../src/core/spec.ts'
import { BroadcastJoin, MOST_NAMES } from '../src/join/broadcast.ts'
import { parseOn, repeatedKeys, type JoinKey } from '../src/join/on.ts'
import type { SpliceRules } from '../src/join/splice.ts'
import { JoinTableReader, type JoinTable, type JoinType } from '../src/join/table.ts'

export const join: CommandSpec = {
  name: 'join',
  summary: 'Join records with those of a table or a second stream, by key',
  description:
    'The left side is standard input or FILE, TABLE is a file or topic:NAME. TABLE is read into memory, the left side streams through in its order. ' +
    "A joined record is the left one's members and then the right one's; of a key that is called the same on both sides there is one. Null and missing keys never match; a key that comes several times gives every pair.",
  program: [{ name: 'TABLE', description: 'the right side: a file, or topic:NAME' }],
  files: true,
  options: [
    { flag: 'on', value: 'KEYS', description: 'join where these are equal: user_id, or user_id=id,region=tags.region' },
    {
      flag: 'type',
      value: 'TYPE',
      description: 'which records without a partner are kept; semi and anti keep left records that have one, or none',
      choices: ['inner', 'left', 'right', 'full', 'semi', 'anti'],
      default: 'inner',
    },
    {
      flag: 'prefix',
      value: 'TEXT',
      description: 'put before right names that the left record has too',
      default: 'right_',
    },
    { flag: 'nest', value: 'NAME', description: 'put the whole right record under NAME' },
  ],
  common: ['input', 'workers', 'memory', 'tmp', 'store'],
  cost: { time: 'O(left + table + pairs)', memory: 'O(table)' },
  errors: ['bad-record', 'bad-option', 'no-such-file', 'table-too-large'],
  examples: [],
  create: createJoin,
}

function createJoin({ program, options }: Arguments): Stage {
  if (options['on'] === undefined) {
    throw new BeckError('usage', { problem: 'a join needs --on', hint: 'beck join users.ndjson --on user_id' })
  }
  const keys = parseOn(options['on'] as string)
  const type = (options['type'] ?? 'inner') as JoinType
  const rules: SpliceRules = {
    prefix: (options['prefix'] as string | undefined) ?? 'right_',
    nest: options['nest'] as string | undefined,
    repeated: repeatedKeys(keys),
  }
  if (rules.prefix === '') {
    throw new BeckError('bad-option', { option: '--prefix', problem: 'is empty', hint: 'write --prefix user_' })
  }
  return broadcast(program[0]!, keys, type, rules)
}

function broadcast(table: string, keys: readonly JoinKey[], type: JoinType, rules: SpliceRules): TableStage<JoinTable> {
  // Not a set of paths: the first reads are the parts of the key, in their order.
  const reads = keys.map(({ right }) => right)
  return {
    role: 'table',
    table,
    reads,
    parallel: type === 'right' || type === 'full' ? 'merge' : 'stateless',
    open: (context) => new JoinTableReader({ table, type, rules, keyFields: reads.length, times: undefined }, context),
    stage: (read) => leftStage(keys, type, rules, read),
  }
}

function leftStage(keys: readonly JoinKey[], type: JoinType, rules: SpliceRules, table: JoinTable): OperatorStage {
  const projection = new Projection()
  const keyFields = keys.map(({ left }) => projection.add(left))
  const few = table.names.length <= MOST_NAMES
  const clashFields = few ? table.names.map((name) => projection.add([name])) : undefined
  const nestField =
    rules.nest === undefined || type === 'semi' || type === 'anti' ? undefined : projection.add([rules.nest])
  return {
    role: 'operator',
    reads: projection.paths,
    parallel: type === 'right' || type === 'full' ? 'merge' : 'stateless',
    open: (context) =>
      new BroadcastJoin(
        { type, rules, keyFields, clashFields, nestField, choose: undefined, times: undefined },
        table,
        context,
      ),
  }
}
