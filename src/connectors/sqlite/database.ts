import { realpathSync } from 'node:fs'
import { BeckError } from '../../core/errors.ts'
import { canonicalKey } from '../../core/key.ts'
import type { Problem } from '../../core/operator.ts'
import type { Epoch } from '../../core/spec.ts'
import { type Database, type DatabaseRun, RefusedRow } from '../database-sink.ts'
import type { Row, Shape } from '../rows.ts'
import { loadSqlite, type SqliteConnection, type SqliteStatement, type SqliteValue } from './load.ts'

/** How long other programs may hold the database. */
const BUSY_MS = 10_000
/** In the text of tables that beck has made: those get a column for each new field. SQLite keeps it. */
const MADE = '/* made by beck */'

/** A table of an SQLite file. https://sqlite.org/datatype3.html says what becomes of values. */
export class SqliteDatabase implements Database {
  name: string
  private readonly file: string
  private readonly table: string
  private readonly keys: readonly string[]
  private readonly upsert: boolean
  private connection: SqliteConnection | undefined
  /** By name in lower case, as SQLite sees names; undefined while there is no table. */
  private columns: Map<string, Column> | undefined
  private grows = true
  private readonly statements = new Map<Shape, Insert>()

  constructor(
    file: string,
    table: string,
    { keys, upsert }: { readonly keys: readonly string[]; readonly upsert: boolean },
  ) {
    this.file = file
    this.table = table
    this.keys = keys
    this.upsert = upsert
    this.name = `sqlite:${file} ${table}`
  }

  async open(): Promise<void> {
    const { DatabaseSync } = loadSqlite()
    this.do(() => {
      const connection = new DatabaseSync(this.file)
      this.connection = connection
      // EXTRA: FULL leaves it to the disk when the rollback journal's name goes; a power cut could bring it back, and with it the epoch before.
      connection.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA synchronous = EXTRA`)
      this.name = `sqlite:${realpathSync(this.file)} ${this.table}`
      this.look()
    })
    this.checkKeys()
  }

  /** What the table is like, if it is there. */
  private look(): void {
    const made = this.db.prepare('SELECT sql FROM sqlite_schema WHERE lower(name) = lower(?)').get(this.table)
    const columns = this.db.prepare('SELECT name, type, hidden FROM pragma_table_xinfo(?)').all(this.table)
    if (!made) return
    this.grows = String(made['sql']).includes(MADE)
    this.columns = new Map(columns.map((column) => [folded(String(column['name'])), columnOf(column)]))
  }

  private get db(): SqliteConnection {
    if (!this.connection) throw new Error('a database that is not open')
    return this.connection
  }

  private checkKeys(): void {
    const missing = !this.grows && this.keys.find((key) => !this.columns?.has(folded(key)))
    if (missing) {
      throw new BeckError('bad-option', { option: '--key', problem: `${this.table} has no column "${missing}"` })
    }
  }

  check({ names }: Shape): Problem | undefined {
    if (names.length === 0) return { problem: 'the record has no fields, so it is no row' }
    const seen = new Map<string, string>()
    for (const name of names) {
      if (name.includes('\0')) return { problem: 'a field with a NUL in its name cannot be a column' }
      const twin = seen.get(folded(name))
      if (twin !== undefined) return { problem: `the fields "${twin}" and "${name}" would be one column` }
      seen.set(folded(name), name)
      const column = this.columns?.get(folded(name))
      if (this.columns && !column && !this.grows) return noColumn(this.table, name)
      if (column?.generated) return { problem: `the column "${name}" is generated: it takes no values` }
    }
    return undefined
  }

  claim({ id, pipeline, generation }: DatabaseRun): Promise<number | undefined> {
    return this.transaction(() => {
      this.db.exec(COMMITS)
      const there = this.db.prepare('SELECT generation, epoch FROM beck_commits WHERE id = ?').get(id)
      if (!there) return undefined
      if (Number(there['generation']) > generation) throw takenOver(this.name, pipeline)
      this.db.prepare('UPDATE beck_commits SET generation = ? WHERE id = ?').run(BigInt(generation), id)
      return Number(there['epoch'])
    })
  }

  adopt({ id, pipeline, generation }: DatabaseRun, epoch: number): Promise<void> {
    return this.transaction(() => {
      const insert = `INSERT INTO beck_commits (id, pipeline, generation, epoch, offsets, handles) VALUES (?, ?, ?, ?, '{}', '[]')`
      this.db.prepare(insert).run(id, pipeline, BigInt(generation), BigInt(epoch))
    })
  }

  write(rows: readonly Row[], epoch?: DatabaseRun & Epoch): Promise<void> {
    return this.transaction(() => {
      rows.forEach((row, index) => this.insert(row, index))
      if (epoch && this.db.prepare(COMMIT).run(...commitValues(epoch)).changes !== 1) {
        throw takenOver(this.name, epoch.pipeline)
      }
    })
  }

  private insert(row: Row, index: number): void {
    const { statement, columns } = this.insertOf(row.shape)
    try {
      statement.run(...row.values.map((raw, at) => valueOf(raw, columns[at] as Column)))
    } catch (error) {
      if (error instanceof Unfit) throw new RefusedRow(index, error.message, error.hint)
      // SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_TOOBIG, SQLITE_RANGE
      const code = codeOf(error)
      if (code === 19 || code === 20 || code === 18) throw new RefusedRow(index, (error as Error).message)
      throw error
    }
  }

  private insertOf(shape: Shape): Insert {
    const known = this.statements.get(shape)
    if (known) return known
    // Other pipelines of the group may have made it meanwhile.
    if (shape.names.some((name) => !this.columns?.has(folded(name)))) this.look()
    if (!this.columns) this.create(shape)
    const columns = shape.names.map((name) => this.columns?.get(folded(name)) ?? this.addColumn(name))
    const names = columns.map(({ name }) => quoted(name))
    const set = columns.filter(({ name }) => !this.isKey(name)).map(({ name }) => quoted(name))
    const change =
      set.length === 0 ? 'NOTHING' : `UPDATE SET ${set.map((name) => `${name} = excluded.${name}`).join(', ')}`
    const conflict = this.upsert ? ` ON CONFLICT (${this.keys.map(quoted).join(', ')}) DO ${change}` : ''
    const sql = `INSERT INTO ${quoted(this.table)} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})${conflict}`
    const statement = this.prepareInsert(sql)
    const insert = { statement, columns }
    this.statements.set(shape, insert)
    return insert
  }

  private prepareInsert(sql: string): SqliteStatement {
    try {
      return this.db.prepare(sql)
    } catch (error) {
      if (!/ON CONFLICT clause does not match/.test((error as Error).message)) throw error
      const columns = this.keys.map(quoted).join(', ')
      throw new BeckError('bad-option', {
        option: '--key',
        problem: `${this.table} has no unique index on ${this.keys.join(', ')}, so nothing says which row to replace`,
        hint: `make one: CREATE UNIQUE INDEX ON ${quoted(this.table)} (${columns})`.replace(
          'INDEX ON',
          `INDEX ${quoted(`${this.table}_key`)} ON`,
        ),
      })
    }
  }

  private isKey(name: string): boolean {
    return this.keys.some((key) => folded(key) === folded(name))
  }

  private create({ names }: Shape): void {
    // Without types: each value keeps its own.
    const key = this.keys.length === 0 ? '' : `, PRIMARY KEY (${this.keys.map(quoted).join(', ')})`
    this.db.exec(`CREATE TABLE ${quoted(this.table)} (${MADE} ${names.map(quoted).join(', ')}${key})`)
    this.columns = new Map(names.map((name) => [folded(name), { name, affinity: 'blob', generated: false }]))
  }

  private addColumn(name: string): Column {
    this.db.exec(`ALTER TABLE ${quoted(this.table)} ADD COLUMN ${quoted(name)}`)
    const column: Column = { name, affinity: 'blob', generated: false }
    this.columns?.set(folded(name), column)
    return column
  }

  /** Synchronous but for its promise. What it throws is ours. */
  private async transaction<Result>(work: () => Result): Promise<Result> {
    return this.do(() => {
      const { db } = this
      const { columns } = this
      const before = columns && new Map(columns)
      db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        db.exec('COMMIT')
        return result
      } catch (error) {
        try {
          db.exec('ROLLBACK')
        } catch {
          // SQLite has done so itself; the first error is the one to tell.
        }
        // Columns that were made are gone again.
        this.columns = before
        this.statements.clear()
        throw error
      }
    })
  }

  private do<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      if (error instanceof BeckError || error instanceof RefusedRow) throw error
      if (codeOf(error) === undefined) throw error
      const [problem, hint] = known[codeOf(error) as number] ?? [(error as Error).message, undefined]
      throw new BeckError('database', { target: this.name, problem, hint }, { cause: error })
    }
  }

  async close(): Promise<void> {
    this.connection?.close()
    this.connection = undefined
  }
}

/** Changes a pipeline's line only if it follows the epoch that is there, and no later run has taken over. */
const COMMIT = `UPDATE beck_commits SET generation = ?, epoch = ?, offsets = ?, handles = ? WHERE id = ? AND epoch = ? AND generation <= ?`
const commitValues = ({ id, generation, epoch, offsets, handles }: DatabaseRun & Epoch): SqliteValue[] => [
  BigInt(generation),
  BigInt(epoch),
  JSON.stringify(offsets),
  JSON.stringify(handles),
  id,
  BigInt(epoch - 1),
  BigInt(generation),
]
const COMMITS = `CREATE TABLE IF NOT EXISTS beck_commits (id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, generation INTEGER NOT NULL,
  epoch INTEGER NOT NULL, offsets TEXT NOT NULL, handles TEXT NOT NULL)`

const takenOver = (database: string, pipeline: string): BeckError =>
  new BeckError('fenced', {
    problem: `a later run of pipeline "${pipeline}" has taken over in ${database}; this one commits nothing more`,
    hint: 'nothing is lost: the later run goes on from the last committed epoch',
  })

interface Insert {
  readonly statement: SqliteStatement
  readonly columns: readonly Column[]
}
interface Column {
  readonly name: string
  readonly affinity: 'text' | 'number' | 'blob'
  readonly generated: boolean
}

/** https://sqlite.org/datatype3.html#determination_of_column_affinity */
function columnOf({ name, type, hidden }: Readonly<Record<string, unknown>>): Column {
  const declared = String(type).toUpperCase()
  const affinity = /INT/.test(declared)
    ? 'number'
    : /CHAR|CLOB|TEXT/.test(declared)
      ? 'text'
      : declared === '' || /BLOB|ANY/.test(declared)
        ? 'blob'
        : 'number'
  return { name: String(name), affinity, generated: Number(hidden) > 1 }
}

/** A value that would not be kept as it is. */
class Unfit extends Error {
  readonly hint: string | undefined
  constructor(problem: string, hint?: string) {
    super(problem)
    this.hint = hint
  }
}

/** Integers and decimals that a double holds stay numbers, other numbers are kept as text: nothing is rounded. */
function valueOf(raw: string, { name, affinity }: Column): SqliteValue {
  const first = raw.charCodeAt(0)
  if (first === QUOTE) {
    const text = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1)
    if (text.includes('\0')) throw new Unfit(`SQLite would cut "${name}" off at its NUL`)
    return text
  }
  if (raw === 'null') return null
  if (affinity === 'text' || first === OPEN_OBJECT || first === OPEN_ARRAY) return raw
  if (raw === 'true') return 1n
  if (raw === 'false') return 0n
  if (/^-?\d{1,18}$/.test(raw)) return BigInt(raw)
  if (/^-?\d{19}$/.test(raw) && BigInt.asIntN(64, BigInt(raw)) === BigInt(raw)) return BigInt(raw)
  const value = Number(raw)
  if (SHORT_DECIMAL.test(raw) || (Number.isFinite(value) && canonicalKey(String(value)) === canonicalKey(raw)))
    return value
  if (affinity === 'number') {
    const shown = raw.length > 40 ? `${raw.slice(0, 40)}…` : raw
    throw new Unfit(
      `the column "${name}" would round ${shown}`,
      'declare it without a type, or as TEXT: both keep every digit',
    )
  }
  return raw
}

/** With at most 15 digits a double gives back what was written. */
const SHORT_DECIMAL = /^-?\d{1,8}\.\d{1,7}$/
const QUOTE = 34
const OPEN_OBJECT = 0x7b
const OPEN_ARRAY = 0x5b

/** An identifier, whatever is in it. */
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
/** SQLite does not tell A from a, but Ä from ä. */
const folded = (name: string): string => name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

const noColumn = (table: string, name: string): Problem => ({
  problem: `the table ${table} has no column "${name}"`,
  hint: `add it: ALTER TABLE ${quoted(table)} ADD COLUMN ${quoted(name)}; or leave the field out with beck map. (Only tables that beck has made get new columns by themselves.)`,
})

/** SQLite's result code. https://sqlite.org/rescode.html */
function codeOf(error: unknown): number | undefined {
  const { errcode, code } = error as { readonly errcode?: unknown; readonly code?: unknown }
  if (typeof errcode === 'number') return errcode & 0xff
  return typeof code === 'string' && code.startsWith('ERR_SQLITE') ? 1 : undefined
}

const known: Readonly<Record<number, readonly [problem: string, hint: string]>> = {
  5: ['another program holds the database', 'run the command again when that has ended'],
  8: ['the file is read-only', 'choose another file, or change its permissions'],
  10: ['input/output error: the device could not read or write', 'look at the disk, then run the command again'],
  11: ['the database is damaged', 'restore it from a backup; sqlite3 FILE .recover saves what can be read'],
  13: ['no space left on the device', 'make space, then run the command again'],
  14: ['the file cannot be opened', 'is its folder there, and may you write to it?'],
  26: ['is not an SQLite database', 'choose another file'],
}
