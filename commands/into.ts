import { BeckError } from '../src/core/errors.ts'
import { parseKeyFields } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, SinkStage } from '../src/core/spec.ts'
import { hidePasswords } from '../src/core/secrets.ts'
import type { Database } from '../src/connectors/database-sink.ts'
import { suggest } from '../src/core/suggest.ts'
import { insistsOnFrames } from '../src/pipeline/swallowed-frames.ts'

export const into: CommandSpec = {
  name: 'into',
  summary: 'Write records to a database or to files, exactly once where the pipe asks for it',
  description: [
    'TARGET says where:',
    '- sqlite:FILE TABLE: rows of a table, which is made when it is not there. Fields at the top of a record are columns, and a table that ' +
      'beck has made gets a column for each new one. Strings are text; true and false are 1 and 0; integers and decimals are numbers, and ' +
      'those that would be rounded are kept as text; objects and arrays are their JSON. ' +
      'With --key the columns are the primary key of a new table; with --upsert a row that is there is changed where the record says so.',
    '- postgres://USER@HOST:PORT/DATABASE TABLE (or SCHEMA.TABLE): the same in PostgreSQL. Columns of a new table are text, numeric, boolean and json, ' +
      'by their first value; in a table of yours the server converts what comes as JSON. A password is better in ~/.pgpass or $PGPASSWORD.',
    '- file:DIR: files part-0000000001.ndjson … in a folder, each complete when it appears. A run makes one; in an exactly-once pipe each epoch ' +
      'with records does, and all of them one after the other are the output. With consume --per-partition each partition has a folder of its own in DIR.',
    '',
    'At the end of consume --exactly-once output, offsets and the state of the stages are committed as one: killed at any moment and run ' +
      'again, the output is that of an undisturbed run (docs/exactly-once.md). Otherwise rows are written in transactions of some thousand, ' +
      'at once where the input pauses; what was written before an error stays.',
  ].join('\n'),
  program: [
    { name: 'TARGET', description: 'sqlite:FILE, postgres://… or file:DIR' },
    { name: 'TABLE', description: 'of a database: the table', optional: true },
  ],
  programWords: (target) => (target?.startsWith('file:') ? 1 : 2),
  files: true,
  options: [
    { flag: 'key', value: 'COLUMNS', description: 'what tells rows apart; each record must have it' },
    { flag: 'upsert', description: 'a record with a key that is there changes that row' },
    {
      flag: 'exactly-once',
      description: 'nothing is written unless the pipe begins with consume --exactly-once and that is there',
    },
  ],
  common: ['input'],
  cost: { time: 'O(bytes)', memory: 'O(1); for a database, an epoch' },
  errors: [
    'bad-record',
    'refused',
    'usage',
    'bad-option',
    'file',
    'database',
    'disk-full',
    'store',
    'fenced',
    'frames',
  ],
  examples: [
    {
      says: 'A table, and again with what has changed',
      command:
        `printf '%s\\n' '{"id":1,"name":"Ann"}' '{"id":2,"name":"Bo"}' | beck into sqlite:shop.db people --key id && ` +
        `echo '{"id":2,"name":"Bob","tags":["new"]}' | beck into sqlite:shop.db people --key id --upsert && sqlite3 shop.db 'SELECT * FROM people'`,
      output: '1|Ann|\n2|Bob|["new"]\n',
    },
    {
      says: 'Exactly once, into a database',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits -g db --exactly-once | ' +
        "beck filter 'r.distance > 2000' | beck into sqlite:far.db flights && sqlite3 far.db 'SELECT origin, count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC LIMIT 1'",
    },
    {
      says: 'A file for each run',
      command: 'beck into file:flights fixtures/flights.ndjson && ls flights',
      output: 'part-0000000001.ndjson\n',
    },
    {
      says: 'Exactly once, a file an epoch',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits -g out --exactly-once | beck into file:out && cat out/*.ndjson | wc -l',
      output: '20000\n',
    },
  ],
  create: createStage,
}

interface Target {
  /** The table and its keys; undefined for `file:`. */
  readonly table: string
  readonly keys: readonly string[]
  readonly upsert: boolean
  readonly insists: boolean
}

/** What stands before the colon → what makes the stage of the rest. */
const kinds: Readonly<Record<string, (rest: string, target: Target) => Promise<SinkStage>>> = {
  postgres,
  postgresql: postgres,
  async sqlite(file, target) {
    const { SqliteDatabase } = await import('../src/connectors/sqlite/database.ts')
    return databaseStage(new SqliteDatabase(file, target.table, target), target)
  },
  async file(folder, { insists }) {
    const { FileSink } = await import('../src/connectors/file/sink.ts')
    return { role: 'sink', reads: [], open: (context) => new FileSink(folder, insists, context) }
  },
}

async function postgres(rest: string, target: Target): Promise<SinkStage> {
  const { PostgresDatabase } = await import('../src/connectors/postgres/database.ts')
  return databaseStage(new PostgresDatabase(`postgres:${rest}`, target.table, target), target)
}

async function databaseStage(database: Database, target: Target): Promise<SinkStage> {
  const { DatabaseSink } = await import('../src/connectors/database-sink.ts')
  return { role: 'sink', reads: [], open: (context) => new DatabaseSink(database, target, context) }
}

async function createStage({ program, files, options }: Arguments): Promise<SinkStage> {
  const [target = '', table] = program
  const [, kind = '', rest = ''] = /^([a-z]+):(.*)$/is.exec(target) ?? []
  const make = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined
  const examples = 'beck into sqlite:shop.db orders, or beck into file:orders'
  if (!make) {
    const known = Object.keys(kinds)
    throw new BeckError('usage', {
      // An address may hold a password.
      problem: kind ? `there is no sink "${kind}:"` : `"${hidePasswords(target)}" is no sink`,
      suggestion: kind && suggest(kind, known),
      hint: suggest(kind, known) && kind ? undefined : `for example: ${examples}`,
    })
  }
  if (rest === '') throw new BeckError('usage', { problem: `${kind}: needs a name`, hint: `for example: ${examples}` })
  const keys = options['key'] === undefined ? [] : keyColumns(options['key'] as string)
  const upsert = options['upsert'] === true
  if (kind === 'file') {
    if (keys.length > 0 || upsert) {
      throw new BeckError('usage', { problem: 'files have no keys', hint: 'leave --key and --upsert out' })
    }
  } else if (table === undefined || table === '') {
    throw new BeckError('usage', { problem: 'into which table?', hint: `for example: ${examples}` })
  }
  if (upsert && keys.length === 0) {
    throw new BeckError('bad-option', { option: '--upsert', problem: 'needs a key', hint: 'write --key id --upsert' })
  }
  return make(rest, { table: table ?? '', keys, upsert, insists: insistsOnFrames('into', target, { options, files }) })
}

/** Columns are fields at the top of a record. @throws BeckError bad-option */
function keyColumns(text: string): string[] {
  return parseKeyFields(text, '--key').map(({ path }) => {
    const [name] = path
    if (path.length === 1 && typeof name === 'string') return name
    throw new BeckError('bad-option', {
      option: '--key',
      problem: 'names a field within another, and only fields at the top are columns',
      hint: "bring it up first: beck map '{...r, key: r.a.b}'",
    })
  })
}
