import { GroupBy } from '../src/aggregate/group-by.ts'
import { type AggregatePlan, parseAggregates } from '../src/aggregate/parse.ts'
import { PartialLines, renderPartial } from '../src/aggregate/partial.ts'
import { BeckError } from '../src/core/errors.ts'
import { formatFieldPath, type KeyField, parseKeyFields, Projection } from '../src/core/field-path.ts'
import type { CommandSpec, Stage } from '../src/core/spec.ts'
import { guardText } from '../src/expression/sift.ts'

export const reduce: CommandSpec = {
  name: 'reduce',
  summary: 'Group records by key and compute aggregates',
  description:
    'One line a group, in order of first appearance; without --by one line in all. AGGREGATES is a list of `[name =] f(arguments) [where EXPRESSION]`. ' +
    'Every aggregate but `count` skips values that are missing or null; another value of the wrong type is an error. ' +
    'Sums and averages are exact decimal arithmetic, quantiles are exact with linear interpolation, approx_… are sketches. ' +
    'Functions: count, sum, avg, min, max, var, stddev, median, p0 … p100 (p99.9), first, last, list, concat, distinct, count_distinct, mode, ' +
    'top(x, n), argmin(x, by), argmax(x, by), histogram(x, n), fold(…), approx_count_distinct, approx_median, approx_p0 … approx_p100; ' +
    'docs/aggregates.md says what each means.',
  program: [{ name: 'AGGREGATES', description: "what to compute, as in 'count, avg(latency_ms)'" }],
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'group by these fields: path, or path,region=tags.region' },
    { flag: 'partial', description: 'write states that --merge puts together' },
    { flag: 'merge', description: 'read what --partial wrote, with the same aggregates and keys' },
  ],
  common: ['input', 'args', 'workers', 'memory', 'tmp'],
  cost: {
    time: 'O(records)',
    memory: 'O(groups), at most --memory: the rest is spilled; list, distinct and quantiles keep their values',
  },
  errors: ['bad-record', 'bad-program', 'bad-option', 'spill-full'],
  examples: [
    {
      says: 'The busiest airports and how late they are',
      command:
        "beck reduce 'count, avg(delay), p90(delay)' --by origin fixtures/flights.ndjson | beck sort --by -count --limit 3",
      output:
        '{"origin":"PHX","count":1302,"avg_delay":9.345622119815669,"p90_delay":42}\n' +
        '{"origin":"LAS","count":1243,"avg_delay":9.477071600965406,"p90_delay":40}\n' +
        '{"origin":"HOU","count":1149,"avg_delay":8.28633594429939,"p90_delay":35}',
    },
    {
      says: 'Only some records count',
      command: "beck reduce 'count, late = count where r.delay > 15' fixtures/flights.ndjson",
      output: '{"count":20000,"late":4069}',
    },
    {
      says: 'The longest route from each airport',
      command:
        "beck reduce 'to = argmax(destination, distance), miles = max(distance)' --by origin fixtures/flights.ndjson | beck sort --by -miles --limit 2",
      output: '{"origin":"LAS","to":"BDL","miles":2298}\n{"origin":"BDL","to":"LAS","miles":2298}',
    },
    {
      says: 'Parts apart, then put together',
      command:
        "for half in head tail; do $half -n 10000 fixtures/flights.ndjson | beck reduce 'count, max(distance)' --partial; done | beck reduce 'count, max(distance)' --merge",
      output: '{"count":20000,"max_distance":2298}',
    },
  ],
  async create({ program, options, args }): Promise<Stage> {
    const keys = options['by'] === undefined ? [] : parseKeyFields(options['by'] as string)
    const projection = new Projection()
    const fields = keys.map(({ path }) => projection.add(path))
    const plan = await parseAggregates(program[0]!, projection, { args, taken: keys.map(({ name }) => name) })
    const partial = options['partial'] === true
    if ((partial || options['merge'] === true) && !plan.mergeable) {
      throw new BeckError('bad-program', {
        problem: 'a fold without a way to merge has no partial states',
        hint: 'give it a merge: x = fold((state, r) => state + r.n, 0, (a, b) => a + b)',
      })
    }
    const render = partial ? renderPartial : undefined
    if (options['merge'] === true) {
      const merging = new Projection()
      const names = keys.map(({ name }) => merging.add([name]))
      const state = merging.add(['partial'])
      return {
        role: 'operator',
        reads: merging.paths,
        snapshots: 'changes',
        open: (context) => {
          const set = plan.open(context)
          const table = names.length ? context.keyTable(names) : undefined
          const adder = new PartialLines(set, state, context)
          return new GroupBy(keys, table, set, context, { render, adder, mergeable: true })
        },
      }
    }
    return {
      role: 'operator',
      reads: projection.paths,
      fieldsOnly: plan.fieldsOnly,
      ...(plan.parallel && { parallel: 'merge' as const }),
      snapshots: 'changes',
      keys: keys.map(({ path }) => formatFieldPath(path)),
      ...(!partial && keys.length > 0 && apartOf(keys, plan)),
      open: (context) =>
        new GroupBy(keys, fields.length ? context.keyTable(fields) : undefined, plan.open(context), context, {
          render,
          mergeable: plan.mergeable,
        }),
    }
  },
}

/** Of which records the keys and the values are surely in order. */
function apartOf(keys: readonly KeyField[], { checks }: AggregatePlan): { apart?: readonly string[] } {
  if (!checks) return {}
  const guards = [
    ...keys.map(({ path }) => guardText('plain', path)),
    ...checks.map(({ path, wants }) => guardText(wants === 'numbers' ? 'number' : 'plain', path)),
  ]
  return { apart: [...new Set(guards)] }
}
