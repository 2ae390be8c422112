import { fstatSync, statSync } from 'node:fs'
import { BeckError } from '../src/core/errors.ts'
import { parseLength } from '../src/core/duration.ts'
import { PIPELINE_WORD } from '../src/core/pipeline-word.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import type { AsOfRules } from '../src/join/as-of.ts'
import { parseOn, repeatedKeys } from '../src/join/on.ts'
import { timeOptions } from '../src/core/time-options.ts'
import type { SpliceRules } from '../src/join/splice.ts'
import { asOfStreamsStage, broadcastStage, intervalStage, mergeStage } from '../src/join/stages.ts'
import type { JoinType } from '../src/join/table.ts'

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
    {
      flag: 'merge',
      description:
        'sort both sides, in bounded memory: for a table larger than --memory. Output is in the order of keys',
    },
    {
      flag: 'within',
      value: 'DURATION',
      description: 'join two streams where right time − left time is in 5m (either way), or in -1s..10s',
    },
    { flag: 'time', value: 'FIELD', description: 'event time for --within: ts, or ts=time' },
    {
      flag: 'delay',
      value: 'DURATION',
      description: 'how far out of order records come, for --within and --as-of of two streams',
      default: '0s',
    },
    { flag: 'follow', short: 'f', description: 'go on with what is appended to the topic of TABLE' },
    {
      flag: 'as-of',
      value: 'FIELD',
      description:
        'join with the one right record whose time is nearest: ts, or ts=time. TABLE is read whole, unless it comes from a pipe or with --follow or --delay: then both sides are in order of time',
    },
    {
      flag: 'direction',
      value: 'WAY',
      description: 'at or before the left time, at or after it, or either',
      choices: ['backward', 'forward', 'nearest'],
      default: 'backward',
    },
    { flag: 'tolerance', value: 'DURATION', description: 'how far apart the times of --as-of may be' },
    { flag: 'no-exact', description: 'the same time does not count for --as-of' },
    {
      flag: 'new-table',
      runOnly: true,
      description: 'behind consume --exactly-once: go on although TABLE has changed since the last run',
    },
    ...timeOptions,
  ],
  common: ['input', 'workers', 'memory', 'tmp', 'store'],
  cost: {
    time: 'O(left + table + pairs)',
    memory:
      'O(table) once, and its keys for each thread: within --memory, or it is an error; with two streams what waits',
  },
  errors: ['bad-record', 'bad-option', 'no-such-file', 'table-too-large'],
  examples: [
    {
      says: 'Where the planes came from',
      command:
        'beck from csv fixtures/airports.csv > airports.ndjson; beck join airports.ndjson --on origin=iata fixtures/flights.ndjson | beck reduce count --by city | beck sort --by -count --limit 2',
      output: '{"city":"Phoenix","count":1302}\n{"city":"Las Vegas","count":1243}\n',
    },
    {
      says: 'Are there destinations that the table does not know? No',
      command:
        'beck from csv fixtures/airports.csv > airports.ndjson; beck join airports.ndjson --on destination=iata --type anti fixtures/flights.ndjson | beck reduce count',
      output: '{"count":0}\n',
    },
    {
      says: 'Each click with the price that held at that moment',
      command: `printf '%s\\n' '{"sku":1,"at":5,"price":10}' '{"sku":1,"at":9,"price":12}' > prices.ndjson; echo '{"sku":1,"at":7}' | beck join prices.ndjson --on sku --as-of at`,
      output: '{"sku":1,"at":7,"right_at":5,"price":10}\n',
    },
    {
      says: 'Two streams: orders with the shipments of the hour after them, and orders without one',
      command: `printf '%s\\n' '{"id":1,"t":"2026-01-01T10:59:00Z","ship":7}' > shipments; printf '%s\\n' '{"id":1,"t":"2026-01-01T10:00:00Z"}' '{"id":2,"t":"2026-01-01T10:05:00Z"}' | beck join shipments --on id --within 0s..1h --time t --type left`,
      output:
        '{"id":1,"t":"2026-01-01T10:00:00Z","right_t":"2026-01-01T10:59:00Z","ship":7}\n{"id":2,"t":"2026-01-01T10:05:00Z"}\n',
    },
  ],
  create: createJoin,
}

async function createJoin({ program, files, options }: Arguments): Promise<Stage> {
  if (options['on'] === undefined) {
    throw new BeckError('usage', { problem: 'a join needs --on', hint: 'beck join users.ndjson --on user_id' })
  }
  const table = program[0]!
  checkTogether(options, table)
  if (table === '-' && (files.length === 0 || files.includes('-'))) {
    throw new BeckError('usage', { problem: 'both sides are standard input', hint: 'beck join - --on id left.ndjson' })
  }
  const keys = parseOn(options['on'] as string, '--on')
  const type = (options['type'] ?? 'inner') as JoinType
  const rules: SpliceRules = {
    prefix: (options['prefix'] as string | undefined) ?? 'right_',
    nest: options['nest'] as string | undefined,
    repeated: repeatedKeys(keys),
  }
  if (rules.prefix === '') {
    throw new BeckError('bad-option', { option: '--prefix', problem: 'is empty', hint: 'write --prefix user_' })
  }
  const follow = options['follow'] === true
  const plan = { table, store: options['store'] as string | undefined, follow, keys, type, rules }
  if (options['merge'] === true) return mergeStage(plan)
  const timed = options['within'] === undefined ? 'as-of' : 'time'
  if (options[timed] === undefined) return broadcastStage(plan)
  const [time, another] = parseOn(options[timed] as string, `--${timed}`)
  if (another) {
    throw new BeckError('bad-option', {
      option: `--${timed}`,
      problem: 'a record has one time',
      hint: `write --${timed} ts, or --${timed} ts=time where the names differ`,
    })
  }
  const { timesOf } = await import('../src/join/times.ts')
  const times = { time: time!, open: await timesOf(options) }
  const duration = (flag: string): number | undefined =>
    options[flag] === undefined ? undefined : parseLength(options[flag] as string, `--${flag}`)
  if (options['within'] !== undefined) {
    const { parseWithin } = await import('../src/join/times.ts')
    return intervalStage(plan, times, { ...parseWithin(options['within'] as string), delayMs: duration('delay') ?? 0 })
  }
  const asOf: AsOfRules = {
    direction: (options['direction'] ?? 'backward') as AsOfRules['direction'],
    toleranceMs: duration('tolerance') ?? Infinity,
    exact: options['no-exact'] !== true,
  }
  // A table that is there as a whole needs no order; one that is still coming is not waited for.
  if (options['delay'] === undefined && !follow && !comes(table)) return broadcastStage(plan, { ...times, rules: asOf })
  return asOfStreamsStage(plan, times, { asOf, delayMs: duration('delay') ?? 0 })
}

/** Whether the table comes through a pipe. */
function comes(table: string): boolean {
  if (table.startsWith('topic:')) return false
  if (table.startsWith(PIPELINE_WORD)) return true
  try {
    return !(table === '-' ? fstatSync(0) : statSync(table)).isFile()
  } catch {
    return false // Opening it will say what is wrong.
  }
}

/** Options that only go with another one, and those that exclude each other. */
function checkTogether(options: Arguments['options'], table: string): void {
  const needs: Readonly<Record<string, string>> = {
    time: 'within',
    within: 'time',
    direction: 'as-of',
    tolerance: 'as-of',
    'no-exact': 'as-of',
  }
  for (const [flag, other] of Object.entries(needs)) {
    if (options[flag] === undefined || options[other] !== undefined) continue
    throw new BeckError('usage', {
      problem: `--${flag} needs --${other}`,
      hint:
        other === 'as-of'
          ? 'beck join prices.ndjson --on symbol --as-of time'
          : 'beck join shipments.ndjson --on order_id --within 1h --time ts',
    })
  }
  if (options['delay'] !== undefined && options['within'] === undefined && options['as-of'] === undefined) {
    throw new BeckError('usage', {
      problem: '--delay needs --within or --as-of',
      hint: 'beck join shipments.ndjson --on order_id --within 1h --time ts --delay 1m',
    })
  }
  if (options['follow'] === true) {
    const streams = options['within'] !== undefined || options['as-of'] !== undefined
    if (!streams || !table.startsWith('topic:')) {
      throw new BeckError('usage', {
        problem: streams
          ? '--follow goes on with what is appended to a topic, and TABLE is none'
          : '--follow needs --within or --as-of',
        hint: 'beck join topic:prices --follow --on symbol --as-of time',
      })
    }
  }
  const kinds = ['merge', 'within', 'as-of'].filter((flag) => options[flag] !== undefined)
  if (kinds.length > 1) {
    throw new BeckError('usage', {
      problem: `--${kinds[0]} and --${kinds[1]} do not go together`,
      hint: 'choose one of them',
    })
  }
}
