import { parseAggregates } from '../src/aggregate/parse.ts'
import { BeckError } from '../src/core/errors.ts'
import {
  formatFieldPath,
  type KeyField,
  parseFieldPath,
  parseKeyFields,
  Projection,
  samePath,
} from '../src/core/field-path.ts'
import type { StageContext } from '../src/core/operator.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import { timeReaderOf, timeSpellingOptions, zoneOption } from '../src/core/time-options.ts'
import { ReferenceKeyTable } from '../src/ndjson/reference-keys.ts'
import { AlignedWindows } from '../src/window/aligned.ts'
import { RowChecks } from '../src/window/checks.ts'
import { EachAligned } from '../src/window/each.ts'
import { speaksTwice, type Policy } from '../src/window/engine.ts'
import { Slots } from '../src/window/ids.ts'
import { Keys, type WantedRows } from '../src/window/keys.ts'
import { WindowOperator, type WindowTimes } from '../src/window/operator.ts'
import { lengthOption, policyOptions, positiveOption, windowKind } from '../src/window/options.ts'
import { FoldedWindows, WindowParts } from '../src/window/parts.ts'
import { Records } from '../src/window/records.ts'
import { aggregateResults, type Results } from '../src/window/results.ts'
import { SessionWindows } from '../src/window/sessions.ts'
import { SpillingContent } from '../src/window/spilled-content.ts'
import { SpilledWindows } from '../src/window/spilled.ts'
import { TimeColumn } from '../src/window/times.ts'

type Options = Arguments['options']

export const window: CommandSpec = {
  name: 'window',
  summary: 'Group records by time and compute aggregates, late and out-of-order ones too',
  description:
    "Windows are half open, [start, end), and aligned to 1970-01-01T00:00Z (or the calendar of --tz). The watermark is the greatest time seen less --delay; a window's " +
    'results come when the watermark reaches its end, or when the input ends, by end, start and key. A record is late when it comes more than --lateness after the end of ' +
    'all its windows: it is counted on stderr, and kept with --late-to. With `each` in place of AGGREGATES the records themselves go on, each with its window.',
  program: [{ name: 'AGGREGATES', description: "what to compute, as in 'count, avg(latency_ms)'; or each" }],
  files: true,
  options: [
    {
      flag: 'time',
      value: 'FIELD',
      short: 't',
      description: 'the time of a record: RFC 3339, log and HTTP dates, or an epoch number',
    },
    { flag: 'tumbling', value: 'SIZE', description: 'windows one after the other: 1m, 1h, 1d' },
    { flag: 'hopping', value: 'SIZE/ADVANCE', description: 'overlapping ones: 5m/1m is 5 minutes long, every minute' },
    { flag: 'session', value: 'GAP', description: 'from the first record to GAP after the last', oneThread: true },
    { flag: 'by', value: 'KEYS', description: 'group by these fields as well: path, or path,region=tags.region' },
    {
      flag: 'delay',
      value: 'DURATION',
      description: 'how long to wait for records that are out of order',
      default: '0s',
    },
    {
      flag: 'lateness',
      value: 'DURATION',
      description: 'how long after its end a window still takes records',
      default: '0s',
    },
    {
      flag: 'late',
      value: 'POLICY',
      choices: ['drop', 'update', 'correct'],
      description: 'a record after the result: none comes, a new result, or a retraction and a new one',
      default: 'drop',
    },
    {
      flag: 'late-to',
      value: 'FILE',
      description: 'keep records that are too late for all their windows',
      oneThread: true,
    },
    { flag: 'max-ahead', value: 'DURATION', description: 'a time further past the clock is a bad record' },
    {
      flag: 'idle',
      value: 'DURATION',
      description: 'after so long without input, go on with the clock',
      oneThread: true,
    },
    { flag: 'offset', value: 'DURATION', description: 'shift the windows, as in --tumbling 1d --offset 6h' },
    {
      flag: 'tz',
      value: 'ZONE',
      description: 'windows of days follow its calendar; zone of times without one',
      default: 'UTC',
    },
    ...timeSpellingOptions,
    {
      flag: 'emit',
      value: 'WHEN',
      moreAfter: ['every'],
      description: 'final: once. changes: after each record. every DURATION: what changed, by the clock',
      default: 'final',
    },
    { flag: 'processing-time', description: 'the clock instead of --time', oneThread: true },
  ],
  common: ['input', 'args', 'workers', 'memory', 'tmp'],
  cost: {
    time: 'O(records)',
    memory:
      'O(open windows × keys), at most --memory: the rest is spilled; with sessions and revised results keys and bounds stay',
  },
  errors: ['bad-record', 'bad-program', 'bad-option', 'spill-full'],
  examples: [
    {
      says: 'Flights an hour from each airport, in order of departure',
      command:
        "beck sort --by date fixtures/flights.ndjson | beck window 'count, avg(delay)' --time date --tumbling 1h --by origin | head -3",
    },
    {
      says: 'Records that come in any order: the watermark waits for those up to 120 days behind',
      command: "beck window 'avg(delay)' --time date --hopping 1d/12h --delay 120d fixtures/flights.ndjson | head -3",
    },
    {
      says: 'Busy spells: departures from one airport less than an hour apart',
      command:
        'beck window count --time date --session 1h --delay 120d --by origin fixtures/flights.ndjson | beck sort --by -count --limit 3',
    },
    {
      says: 'Days as the calendar of a place has them',
      command:
        'beck window count --time date --tumbling 1d --tz America/New_York --delay 120d fixtures/flights.ndjson | head -2',
    },
    {
      says: 'Each record with its window, and what came too late in a file of its own',
      command:
        'beck window each --time date --tumbling 1h --late-to late.ndjson --quiet fixtures/flights.ndjson | head -2',
    },
  ],
  async create({ program, options, args }): Promise<Stage> {
    const zone = await zoneOption(options)
    const kind = windowKind(options, zone)
    const { policy, everyMs } = policyOptions(options)
    const each = program[0] === 'each'
    checkTogether(options, policy, each)
    const processing = options['processing-time'] === true
    const times: WindowTimes = {
      processing,
      delayMs: lengthOption(options, 'delay') ?? 0,
      idleMs: positiveOption(options, 'idle'),
      everyMs,
    }
    const reader = timeReaderOf(options, zone)
    const maxAheadMs = lengthOption(options, 'max-ahead') ?? Infinity
    const projection = new Projection()
    const path = processing ? undefined : parseFieldPath(options['time'] as string)
    const timeField = path ? projection.add(path) : -1
    const keyFields = options['by'] === undefined ? [] : parseKeyFields(options['by'] as string)
    const fields = keyFields.map(({ path }) => projection.add(path))
    const taken = [
      'window',
      ...(speaksTwice(policy) ? (policy.late === 'correct' ? ['op'] : ['revision', 'replaces']) : []),
    ]
    const clash = keyFields.find(({ name }) => taken.includes(name))
    if (clash && !each) {
      throw new BeckError('bad-option', {
        option: '--by',
        problem: `results have a member "${clash.name}" of their own`,
        hint: `give the key another name: --by my_${clash.name}=${options['by'] as string}`,
      })
    }
    const plan = each
      ? undefined
      : await parseAggregates(program[0] as string, projection, {
          args,
          taken: [...taken, ...keyFields.map(({ name }) => name)],
        })
    if (plan && !plan.mergeable && (kind.kind === 'session' || kind.panes.size > 1)) {
      throw new BeckError('bad-program', {
        problem: 'a fold without a way to merge does not go with hopping or session windows',
        hint: 'give it a merge: x = fold((state, r) => state + r.n, 0, (a, b) => a + b)',
      })
    }
    // Of the planner's making (src/run/rewrite.ts): a filter behind this stage, and the values that it was given.
    const [wanted, values] = (options['wanted'] ?? []) as readonly string[]
    const wantedRows =
      wanted === undefined
        ? undefined
        : await wantedRowsOf(wanted, JSON.parse(values as string) as Arguments['args'], keyFields, projection)
    const windowField = each ? projection.add(['window']) : -1
    const lateTo = options['late-to'] as string | undefined
    const timers = processing || times.idleMs !== undefined || everyMs !== undefined
    const { panes } = kind.kind === 'aligned' ? kind : {}
    const openInput = (context: StageContext): { checks: RowChecks; keys: Keys } => {
      const column = path && new TimeColumn(timeField, reader, options['time-format'] === undefined)
      const checks = new RowChecks(context, column && { column, path, maxAheadMs })
      return { checks, keys: new Keys(context, keyFields, fields, { wanted: wantedRows?.() }) }
    }
    const inParts =
      plan?.parallel && !timers && lateTo === undefined && policy.late === 'drop' && policy.emit === 'final'
    return {
      role: 'operator',
      reads: projection.paths,
      fieldsOnly: plan?.fieldsOnly === true && lateTo === undefined,
      timers,
      // Each record makes a result, and for each its batch is looked through.
      ...(policy.emit === 'changes' && { blockBytes: 1 << 13 }),
      snapshots: 'changes',
      keys: keyFields.map(({ path }) => formatFieldPath(path)),
      ...(wantedRows && { views: 2 }),
      wantsKeys: plan?.addsAll === true && kind.kind === 'aligned' && keyFields.length > 0,
      ...(inParts &&
        panes && {
          parallel: 'ordered' as const,
          openPart(context: StageContext) {
            const { checks, keys } = openInput(context)
            const parts = { checks, content: plan.open(checks.context), keys }
            return new WindowParts(context, panes, policy, times.delayMs, parts)
          },
        }),
      open(context) {
        const { checks, keys } = openInput(context)
        const { delayMs } = times
        if (!plan) {
          const records = new Records(windowField, context)
          const engine =
            kind.kind === 'session'
              ? new SessionWindows(kind.gapMs, policy, delayMs, { keys, content: records, results: records })
              : new EachAligned(kind.panes, policy.latenessMs, delayMs, windowField)
          return new WindowOperator(context, times, { checks, keys, content: records, engine, lateTo })
        }
        const set = plan.open(checks.context)
        const inPlace = kind.kind === 'session' || speaksTwice(policy)
        const aside = { ...checks.context, keyTable: (fields: readonly number[]) => new ReferenceKeyTable(fields) }
        const content = inPlace && plan.mergeable ? new SpillingContent(set, () => plan.open(aside), context) : set
        const slots = new Slots((slots) => content.reserve(slots))
        const open = (keys: Keys): Results => aggregateResults(keys, content, policy, speaksTwice(policy))
        const spilled =
          plan.mergeable && !inPlace
            ? new SpilledWindows(context, {
                content,
                slots,
                keys,
                open() {
                  const keys = new Keys(context, keyFields, fields)
                  return { keys, results: open(keys) }
                },
              })
            : undefined
        const parts = { content, keys, slots, results: open(keys), spilled }
        const engine =
          kind.kind === 'session'
            ? new SessionWindows(kind.gapMs, policy, delayMs, parts)
            : new AlignedWindows(kind.panes, policy, delayMs, parts)
        const folded = new FoldedWindows(policy, parts)
        return new WindowOperator(context, times, { checks, keys, content, engine, lateTo, folded })
      },
    }
  },
}

/** Which rows have a key of which a filter behind the windows wants results. */
async function wantedRowsOf(
  text: string,
  args: Arguments['args'],
  keys: readonly KeyField[],
  projection: Projection,
): Promise<() => WantedRows> {
  const { compileExpression } = await import('../src/expression/index.ts')
  const { guardText, parseGuards, Sift } = await import('../src/expression/sift.ts')
  const names = projection.byNames(keys)
  const read = new Projection()
  compileExpression(text, read, { args })
  const guards = keys.map(({ name, path }) => {
    const isRead = read.paths.some((other) => samePath(other, [name]))
    return guardText(isRead ? 'key' : 'plain', path)
  })
  return () => new Sift(compileExpression(text, names, { args }), parseGuards(guards, projection))
}

/** Options that make no sense together. @throws BeckError usage, bad-option */
function checkTogether(options: Options, policy: Policy, each: boolean): void {
  if (options['processing-time'] === true) {
    for (const flag of ['time', 'delay', 'lateness', 'idle', 'max-ahead', 'time-unit', 'time-format']) {
      if (options[flag] === undefined) continue
      throw new BeckError('usage', {
        problem: `--${flag} and --processing-time do not go together`,
        hint: 'by the clock, records are neither late nor out of order; leave one of them out',
      })
    }
  } else if (options['time'] === undefined) {
    throw new BeckError('usage', {
      problem: 'which field holds the time?',
      hint: 'name it with --time ts; or use --processing-time for the time of arrival',
    })
  }
  if (each && (policy.late !== 'drop' || policy.emit !== 'final')) {
    throw new BeckError('usage', {
      problem: `each has no results to be emitted again: leave ${policy.late === 'drop' ? '--emit' : '--late'} out`,
      hint: '--lateness and --late-to go with each',
    })
  }
}
