import { Projection } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import { expressionMode, resolveExpression, usesIndex } from '../src/expression/index.ts'
import { MapOperator, planMap, renamesOf } from '../src/expression/operators.ts'

export const map: CommandSpec = {
  name: 'map',
  summary: 'Make new records with an expression',
  description:
    'EXPRESSION is JavaScript over the record r, such as {path: r.path, slow: r.latency_ms > 500}, or a function r => … or (r, i) => …. ' +
    'An object literal needs no parentheses. What is only handed on (r.a.b, {...r}, r) keeps its bytes: key order, number spelling, ' +
    'escapes. Members that are undefined are left out, dates become RFC 3339, an undefined result is null. NaN, ±Infinity or a throw is ' +
    'bad data.',
  program: [{ name: 'EXPRESSION', description: 'a JavaScript expression over r, i (index from 0) and args' }],
  files: true,
  options: [
    {
      flag: 'flat',
      description: 'an array is 0 to n records, one an element; undefined is none; anything else is one',
    },
  ],
  common: ['input', 'args', 'workers'],
  cost: { time: 'O(bytes)', memory: 'O(1)' },
  errors: ['bad-program', 'bad-record'],
  examples: [
    {
      says: 'Pick fields and compare',
      command: "head -2 fixtures/flights.ndjson | beck map '{origin: r.origin, late: r.delay > 30}'",
      output: '{"origin":"SAN","late":true}\n{"origin":"FLL","late":false}',
    },
    {
      says: 'Add a field to each record',
      command: "head -1 fixtures/flights.ndjson | beck map '{...r, km: Math.round(r.distance * 1.609344)}'",
      output: '{"date":"2001/01/13 14:56","delay":32,"distance":418,"origin":"SAN","destination":"SJC","km":673}',
    },
    {
      says: 'Take a field out',
      command: "head -1 fixtures/flights.ndjson | beck map '{...r, date: undefined}'",
      output: '{"delay":32,"distance":418,"origin":"SAN","destination":"SJC"}',
    },
    {
      says: 'Many records from one',
      command: `printf 'hello world\\n' | beck from lines | beck map --flat 'r.line.split(" ").map(word => ({word}))'`,
      output: '{"word":"hello"}\n{"word":"world"}',
    },
  ],
  create({ program: [text = ''], args, options }: Arguments): Stage {
    const projection = new Projection()
    const mode = expressionMode()
    const flat = options['flat'] === true
    const resolved = resolveExpression(text, projection, { args, mode })
    const plan = planMap(resolved, mode, flat)
    return {
      role: 'operator',
      reads: projection.paths,
      selects: plan.kind === 'same',
      ...renamesOf(plan, projection.paths),
      open: (context) => new MapOperator(plan, flat, context),
      ...(usesIndex(resolved) ? { snapshots: true } : { parallel: 'stateless' as const }),
    }
  },
}
