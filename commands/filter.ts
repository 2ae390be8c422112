import { parseFieldPath, parseKeyFields, Projection } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import { compileResolved, expressionMode, resolveExpression } from '../src/expression/index.ts'
import { FilterOperator } from '../src/expression/operators.ts'
import { parseGuards, Sift, SiftOperator } from '../src/expression/sift.ts'

export const filter: CommandSpec = {
  name: 'filter',
  summary: 'Keep the records for which an expression is true',
  description:
    'EXPRESSION is JavaScript over the record r, such as r.status >= 500, or a function r => … or (r, i) => …; it goes by truthiness. ' +
    'Records that are kept are written byte for byte as they came. A path through something missing, null or scalar is undefined. ' +
    'Integers beyond ±(2^53 − 1) are BigInt.',
  program: [{ name: 'EXPRESSION', description: 'a JavaScript expression over r, i (index from 0) and args' }],
  files: true,
  options: [],
  common: ['input', 'args', 'workers'],
  cost: { time: 'O(bytes)', memory: 'O(1)' },
  errors: ['bad-program', 'bad-record'],
  examples: [
    {
      says: 'Flights that were more than eight hours late',
      command: "beck filter 'r.delay > 480' fixtures/flights.ndjson",
      output: '{"date":"2001/02/09 13:30","delay":509,"distance":237,"origin":"MCI","destination":"STL"}',
    },
    {
      says: 'Several conditions',
      command: `beck filter 'r.origin === "LAX" && r.delay > 120' fixtures/flights.ndjson | wc -l`,
      output: '9',
    },
    {
      says: 'A value from the shell: it is data, never code',
      command: "beck filter 'r.origin === args.airport' --arg airport=LAX fixtures/flights.ndjson | wc -l",
      output: '908',
    },
    {
      says: 'Every thousandth record',
      command: "beck filter 'i % 1000 === 0' fixtures/flights.ndjson | wc -l",
      output: '20',
    },
  ],
  create({ program: [text = ''], args, options }: Arguments): Stage {
    const projection = new Projection()
    const mode = expressionMode()
    // Of the planner's making (src/run/rewrite.ts): it stands before the stage that makes these keys of fields.
    const by = options['siftBy'] === undefined ? undefined : parseKeyFields(options['siftBy'] as string)
    const names = by ? projection.byNames(by) : projection
    const expression = compileResolved(resolveExpression(text, names, { args, mode }), mode)
    // Likewise: it lets pass what it cannot judge, since the same filter comes again, and lines that are bad for one of the stages in between, which read
    // these fields.
    const sift = options['sift'] as readonly string[] | undefined
    for (const field of sift ?? []) projection.add(parseFieldPath(field))
    const guards = sift && parseGuards((options['guards'] ?? []) as readonly string[], projection)
    return {
      role: 'operator',
      reads: projection.paths,
      selects: true,
      passesBad: sift !== undefined,
      sifts: expression.vectorised && !expression.usesIndex,
      open: (context) =>
        guards ? new SiftOperator(new Sift(expression, guards)) : new FilterOperator(expression, context),
      ...(expression.usesIndex ? { snapshots: true } : { parallel: 'stateless' as const }),
    }
  },
}
