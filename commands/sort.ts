import { BeckError } from '../src/core/errors.ts'
import { Projection } from '../src/core/field-path.ts'
import type { Collector, Operator } from '../src/core/operator.ts'
import type { CommandSpec, Stage } from '../src/core/spec.ts'
import { CheckSorted } from '../src/sort/check.ts'
import { FirstLines } from '../src/sort/first-lines.ts'
import { drain, LineSorter } from '../src/sort/line-sorter.ts'
import { parseSortKeys } from '../src/sort/sort-keys.ts'

export const sort: CommandSpec = {
  name: 'sort',
  summary: 'Sort records by key',
  description:
    'Stable: records with equal keys stay in the order they came. Values are ordered null (and missing), false, true, numbers by exact value, ' +
    'strings by their UTF-8 bytes, then arrays and objects by JSON text; a key with "-" before it goes the other way.',
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'sort by these fields: origin,-count' },
    { flag: 'limit', value: 'N', description: 'only the first N, in memory for N' },
    { flag: 'check', description: 'write nothing; fail if the records are not in this order' },
  ],
  common: ['input', 'workers', 'memory', 'tmp'],
  cost: {
    time: 'O(n log n), O(n) for short keys',
    memory: 'O(n), at most --memory: the rest is spilled; O(N) with --limit N',
  },
  errors: ['bad-record', 'bad-option', 'not-sorted', 'spill-full'],
  examples: [
    {
      says: 'The three latest flights',
      command: 'beck sort --by -delay --limit 3 fixtures/flights.ndjson',
      output:
        '{"date":"2001/02/09 13:30","delay":509,"distance":237,"origin":"MCI","destination":"STL"}\n' +
        '{"date":"2001/03/29 19:04","delay":391,"distance":197,"origin":"FLL","destination":"TPA"}\n' +
        '{"date":"2001/02/09 12:20","delay":370,"distance":405,"origin":"MCI","destination":"MDW"}',
    },
    {
      says: 'The busiest routes',
      command:
        'beck reduce count --by origin,destination fixtures/flights.ndjson | beck sort --by -count,origin --limit 3',
      output:
        '{"origin":"HOU","destination":"DAL","count":245}\n' +
        '{"origin":"LAX","destination":"OAK","count":212}\n' +
        '{"origin":"HOU","destination":"MSY","count":178}',
    },
  ],
  create({ options }): Stage {
    const by = options['by'] as string | undefined
    if (by === undefined) {
      throw new BeckError('usage', { problem: '--by KEYS is missing', hint: 'write beck sort --by origin,-count' })
    }
    if (options['check'] === true && options['limit'] !== undefined) {
      throw new BeckError('usage', {
        problem: '--check and --limit do not go together: a check looks at all records, and writes none',
        hint: 'leave --limit out, or check the first ones: head -n 3 FILE | beck sort --by ts --check',
      })
    }
    const projection = new Projection()
    const keys = parseSortKeys(by).map(({ path, descending }) => ({ field: projection.add(path), descending }))
    const limit = parseLimit(options['limit'] as string | undefined)
    return {
      role: 'operator',
      reads: projection.paths,
      snapshots:
        options['check'] === true ? false : limit === undefined || options['whole'] === true ? 'appends' : true,
      noFrames: [
        'beck sort --check looks at all records from the first one on, and forgets them at a restart',
        'check the topic: beck replay clicks | beck sort --by ts --check',
      ],
      open(context): Operator {
        if (options['check'] === true) return new CheckSorted(keys)
        // Of the planner's making (src/run/rewrite.ts): sorts everything, and gives out the first.
        if (limit === undefined || options['whole'] === true) {
          const sorter = new LineSorter(keys, context)
          return {
            processBatch: (batch) => sorter.add(batch),
            onEnd(out) {
              const emit = limit === undefined ? (lines: Uint8Array) => out.emit(lines) : firstOf(limit, out)
              drain(sorter.sorted(), emit)
            },
            snapshot: () => sorter.added(),
            // As `snapshot` has given it.
            restore: (states) => sorter.restore(states as Iterable<ReturnType<typeof sorter.added>>),
          }
        }
        const first = new FirstLines(keys, limit)
        return {
          processBatch: (batch) => first.add(batch),
          onEnd: (out) => first.drain((lines) => out.emit(lines)),
          snapshot: () => first.export(),
          restore(states) {
            for (const state of states) first.import(state as ReturnType<typeof first.export>)
          },
        }
      },
    }
  },
}

/** Hands on the first `limit` lines. */
function firstOf(limit: number, out: Collector): (lines: Uint8Array) => void {
  let left = limit
  return (lines) => {
    let end = 0
    for (; left > 0 && end < lines.length; left--) end = lines.indexOf(10, end) + 1
    if (end > 0) out.emit(lines.subarray(0, end))
  }
}

function parseLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  throw new BeckError('bad-option', {
    option: '--limit',
    problem: `"${text}" is not a number of records`,
    hint: 'write --limit 10',
  })
}
