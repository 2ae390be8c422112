import { setTimeout } from 'node:timers/promises'
import type { Client, Result } from 'pg'
import { BeckError } from '../../core/errors.ts'
import { canonicalKey } from '../../core/key.ts'
import type { Problem } from '../../core/operator.ts'
import type { Epoch } from '../../core/spec.ts'
import { suggest } from '../../core/suggest.ts'
import { type Database, type DatabaseRun, RefusedRow } from '../database-sink.ts'
import { type Row, rowText, type Shape } from '../rows.ts'
import { isAboutRows, isRowTwice, postgresError } from './errors.ts'

/** The comment on tables that beck has made: those get a column for each new field. */
const MADE = 'made by beck'
const CONNECT_MS = 10_000
/** A transaction of an earlier run that takes longer is one that was stopped. */
const STUCK_MS = 1000
const LOOK_MS = 50
/** So much goes to the server in one statement. */
const MOST_ROWS = 1_000
const MOST_CHARS = 1 << 20
/** Identifiers are cut off after so many bytes. */
const MOST_NAME_BYTES = 63

type JsonKind = 'string' | 'number' | 'boolean' | 'structure' | 'null'

/** A table of a PostgreSQL database. Records go there as JSON, and the server makes the types of the columns of it. */
export class PostgresDatabase implements Database {
  name = 'postgres:'
  private readonly url: string
  private readonly table: string
  private readonly keys: readonly string[]
  private readonly upsert: boolean
  private client: Client | undefined
  /** Name → type; undefined while there is no table. */
  private columns: Map<string, Column> | undefined
  private grows = true

  /** @param table `TABLE` or `SCHEMA.TABLE` */
  constructor(
    url: string,
    table: string,
    { keys, upsert }: { readonly keys: readonly string[]; readonly upsert: boolean },
  ) {
    this.url = url
    this.table = table
    this.keys = keys
    this.upsert = upsert
  }

  async open(): Promise<void> {
    const { Client } = await import('pg')
    try {
      const client = new Client({
        connectionString: this.url,
        connectionTimeoutMillis: CONNECT_MS,
        application_name: 'beck',
        keepAlive: true,
      })
      // Of the address only what is no secret.
      const { user, host, port, database } = client
      this.name = `postgres://${user}@${host}${host.startsWith('/') ? '' : `:${port}`}/${database} ${this.table}`
      client.on('error', () => {}) // the next query says it
      await client.connect()
      this.client = client
    } catch (error) {
      throw postgresError(this.name, error)
    }
    // What is committed must not be lost with the server: the journal relies on it.
    await this.query(
      "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    )
    await this.look()
    const missing = !this.grows && this.keys.find((key) => !this.columns?.has(key))
    if (missing)
      throw new BeckError('bad-option', { option: '--key', problem: `${this.table} has no column "${missing}"` })
  }

  private get target(): string {
    return this.table.split('.').map(quoted).join('.')
  }

  private async look(): Promise<void> {
    const { rows } = await this.query(
      `SELECT attname, format_type(atttypid, NULL) AS type, attgenerated <> '' OR attidentity = 'a' AS generated,
         obj_description(attrelid, 'pg_class') AS comment
       FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
      [this.target],
    )
    if (rows.length === 0) return
    this.grows = rows[0]?.['comment'] === MADE
    this.columns = new Map(
      rows.map(({ attname, type, generated }) => [
        String(attname),
        { type: String(type), generated: generated === true },
      ]),
    )
  }

  check({ names }: Shape): Problem | undefined {
    for (const name of names) {
      if (name === '' || name.includes('\0')) return { problem: `"${name}" cannot be the name of a column` }
      if (Buffer.byteLength(name) > MOST_NAME_BYTES) {
        return { problem: `the field "${name}" has too long a name for a column (${MOST_NAME_BYTES} bytes)` }
      }
      const column = this.columns?.get(name)
      if (this.columns && !column && !this.grows) return noColumn(this.table, name, this.columns)
      if (column?.generated) return { problem: `the column "${name}" is generated: it takes no values` }
    }
    return undefined
  }

  async claim({ id, pipeline, generation }: DatabaseRun): Promise<number | undefined> {
    await this.makeCommits()
    await this.endStuck([id, generation])
    return this.transaction(async () => {
      const { rows } = await this.query('SELECT generation, epoch FROM beck_commits WHERE id = $1 FOR UPDATE', [id])
      const [there] = rows
      if (!there) return undefined
      if (Number(there['generation']) > generation) throw takenOver(this.name, pipeline)
      await this.query(`UPDATE beck_commits SET generation = $1, session = ${SESSION} WHERE id = $2`, [generation, id])
      return Number(there['epoch'])
    })
  }

  /**
   * A sink of an earlier run that was stopped in the middle of its transaction may hold rows: its session ends. One that goes on may have other
   * partitions to write to, and is told by its next commit where it has not.
   * @param run the id of the pipeline, and the generation that claims it
   */
  private async endStuck(run: readonly unknown[]): Promise<void> {
    const begun = async (): Promise<string | undefined> => {
      const { rows } = await this.query(
        `SELECT pid || ' ' || xact_start AS begun ${EARLIER} AND xact_start IS NOT NULL`,
        run,
      )
      return rows[0]?.['begun'] as string | undefined
    }
    const first = await begun()
    if (first === undefined) return
    for (let waited = 0; waited < STUCK_MS; waited += LOOK_MS) {
      await setTimeout(LOOK_MS)
      if ((await begun()) !== first) return
    }
    await this.query(`SELECT pg_terminate_backend(pid) ${EARLIER}`, run)
  }

  private async makeCommits(): Promise<void> {
    const { rows } = await this.query("SELECT to_regclass('beck_commits') AS there")
    if (rows[0]?.['there'] !== null) return
    await this.query(
      `CREATE TABLE IF NOT EXISTS beck_commits (id text PRIMARY KEY, pipeline text NOT NULL, generation bigint NOT NULL,
         epoch bigint NOT NULL, offsets json NOT NULL, handles json NOT NULL, session text)`,
    )
  }

  async adopt({ id, pipeline, generation }: DatabaseRun, epoch: number): Promise<void> {
    await this.query(
      `INSERT INTO beck_commits (id, pipeline, generation, epoch, offsets, handles, session) VALUES ($1, $2, $3, $4, '{}', '[]', ${SESSION})`,
      [id, pipeline, generation, epoch],
    )
  }

  async write(rows: readonly Row[], epoch?: DatabaseRun & Epoch): Promise<void> {
    try {
      await this.writeAll(rows, epoch, MOST_ROWS)
    } catch (error) {
      const cause = error instanceof BeckError ? error.cause : undefined
      if (isRowTwice(cause)) return this.writeAll(rows, epoch, 1) // keys that differ as JSON, and are one in the column
      if (!isAboutRows(cause)) throw error
      throw (await this.culprit(rows)) ?? error
    }
  }

  private writeAll(rows: readonly Row[], epoch: (DatabaseRun & Epoch) | undefined, most: number): Promise<void> {
    return this.transaction(async () => {
      for (let from = 0; from < rows.length;) {
        const group = this.groupFrom(rows, from, most)
        await this.insert(group, from)
        from += group.length
      }
      if (!epoch) return
      const { id, generation, offsets, handles } = epoch
      const values = [generation, epoch.epoch, JSON.stringify(offsets), JSON.stringify(handles), id, epoch.epoch - 1]
      const { rowCount } = await this.query(COMMIT, values)
      if (rowCount !== 1) throw takenOver(this.name, epoch.pipeline)
    })
  }

  /** Rows of one shape that go to the server together. */
  private groupFrom(rows: readonly Row[], from: number, most: number): readonly Row[] {
    const { shape } = rows[from] as Row
    let chars = 0
    let to = from
    for (; to < rows.length && to - from < most && chars < MOST_CHARS && rows[to]?.shape === shape; to++) {
      for (const value of rows[to]?.values ?? []) chars += value.length
    }
    return rows.slice(from, to)
  }

  /** @param first the index of the first of them, for messages */
  private async insert(rows: readonly Row[], first: number): Promise<void> {
    const { shape } = rows[0] as Row
    await this.makeColumns(rows)
    if (this.grows) this.checkKinds(rows, first)
    const columns = shape.names.filter((name) => this.columns?.has(name)).map(quoted)
    const keys = this.keys.map(quoted)
    const set = columns.filter((name) => !keys.includes(name)).map((name) => `${name} = EXCLUDED.${name}`)
    const conflict = !this.upsert
      ? ''
      : ` ON CONFLICT (${keys.join(', ')}) DO ${set.length === 0 ? 'NOTHING' : `UPDATE SET ${set.join(', ')}`}`
    const into = columns.length === 0 ? '' : ` (${columns.join(', ')})`
    const sql = `INSERT INTO ${this.target}${into} SELECT ${columns.join(', ')} FROM json_populate_recordset(NULL::${this.target}, $1)${conflict}`
    const texts = (this.upsert ? this.lastOfEachKey(rows) : rows).map(rowText)
    await this.query(sql, [`[${texts.join(',')}]`])
  }

  /** One statement changes a row once: of the records with a key the last says all that the others did. */
  private lastOfEachKey(rows: readonly Row[]): Row[] {
    const byKey = new Map<string, Row>()
    for (const row of rows) {
      byKey.set(this.keys.map((key) => canonicalKey(row.values[row.shape.names.indexOf(key)] ?? 'null')).join(','), row)
    }
    return [...byKey.values()]
  }

  /** The columns that are not there, each with the type of its first value. */
  private newColumns(rows: readonly Row[]): Map<string, Column> {
    const { shape } = rows[0] as Row
    const made = new Map<string, Column>()
    for (const [at, name] of shape.names.entries()) {
      if (this.columns?.has(name)) continue
      const kind = rows.map(({ values }) => kindOf(values[at] as string)).find((kind) => kind !== 'null')
      if (kind) made.set(name, { type: TYPES[kind], generated: false })
    }
    return made
  }

  /** Makes the table and the columns that are not there. */
  private async makeColumns(rows: readonly Row[]): Promise<void> {
    if (this.columns && this.newColumns(rows).size === 0) return
    // Other pipelines of the group may be at it, too: one after the other, to the end of the transaction.
    await this.query('SELECT pg_advisory_xact_lock(hashtext($1))', [this.target])
    await this.look()
    const made = this.newColumns(rows)
    if (this.columns && made.size === 0) return
    const definitions = [...made].map(([name, { type }]) => `${quoted(name)} ${type}`)
    if (!this.columns) {
      const key = this.keys.length === 0 ? [] : [`PRIMARY KEY (${this.keys.map(quoted).join(', ')})`]
      await this.query(`CREATE TABLE ${this.target} (${[...definitions, ...key].join(', ')})`)
      await this.query(`COMMENT ON TABLE ${this.target} IS '${MADE}'`)
    } else {
      await this.query(`ALTER TABLE ${this.target} ${definitions.map((column) => `ADD COLUMN ${column}`).join(', ')}`)
    }
    this.columns = new Map([...(this.columns ?? []), ...made])
  }

  /** Columns of tables that beck has made hold one kind of values: nothing is converted unseen. */
  private checkKinds(rows: readonly Row[], first: number): void {
    const { names } = (rows[0] as Row).shape
    for (const [at, name] of names.entries()) {
      const type = this.columns?.get(name)?.type
      const kinds = Object.keys(TYPES) as (keyof typeof TYPES)[]
      const own = kinds.find((kind) => TYPES[kind] === type)
      if (!own) continue
      for (const [index, { values }] of rows.entries()) {
        const kind = kindOf(values[at] as string)
        if (kind === own || kind === 'null') continue
        const hint = `make the table yourself, with a type that takes both: "${name}" json, or text`
        throw new RefusedRow(first + index, `the column "${name}" is ${type}, and this is a ${kind}`, hint)
      }
    }
  }

  /** Which row it was that the server refused: one after the other, and all is taken back. */
  private async culprit(rows: readonly Row[]): Promise<RefusedRow | undefined> {
    let refused: RefusedRow | undefined
    try {
      await this.transaction(async () => {
        for (const [index, row] of rows.entries()) {
          try {
            await this.insert([row], index)
          } catch (error) {
            const cause = error instanceof BeckError ? error.cause : undefined
            if (isAboutRows(cause)) refused = new RefusedRow(index, cause.message, cause.hint)
            throw error
          }
        }
        throw new Error('all rows are fine alone')
      })
    } catch {
      // It was to fail.
    }
    return refused
  }

  private async transaction<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.columns
    await this.query('BEGIN')
    try {
      const result = await work()
      await this.query('COMMIT')
      return result
    } catch (error) {
      this.columns = before // what was made is gone again
      try {
        await this.query('ROLLBACK')
      } catch {
        // The connection has ended, and the transaction with it; the first error is the one to tell.
      }
      throw error
    }
  }

  private async query(sql: string, values?: readonly unknown[]): Promise<Result> {
    if (!this.client) throw new Error('a database that is not open')
    try {
      return await this.client.query(sql, values)
    } catch (error) {
      throw postgresError(this.name, error)
    }
  }

  async close(): Promise<void> {
    const { client } = this
    this.client = undefined
    await client?.end().catch(() => {}) // it has ended already
  }
}

interface Column {
  readonly type: string
  readonly generated: boolean
}

/** Types of new columns. `json` and not `jsonb`: it keeps the text as it is. */
const TYPES = { string: 'text', number: 'numeric', boolean: 'boolean', structure: 'json' } as const

function kindOf(raw: string): JsonKind {
  const first = raw[0]
  if (first === '"') return 'string'
  if (first === '{' || first === '[') return 'structure'
  return raw === 'null' ? 'null' : first === 't' || first === 'f' ? 'boolean' : 'number'
}

/** The session that commits for a run. */
const SESSION = "(SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"

/** The session of an earlier run of the pipeline `$1`, before the generation `$2`. */
const EARLIER = `FROM pg_stat_activity JOIN beck_commits ON session = pid || ' ' || backend_start
  WHERE id = $1 AND generation < $2 AND pid <> pg_backend_pid()`

/** Changes a pipeline's line only if it follows the epoch that is there, and no later run has taken over. */
const COMMIT = `UPDATE beck_commits SET generation = $1, epoch = $2, offsets = $3, handles = $4
  WHERE id = $5 AND epoch = $6 AND generation <= $1`

const takenOver = (database: string, pipeline: string): BeckError =>
  new BeckError('fenced', {
    problem: `a later run of pipeline "${pipeline}" has taken over in ${database}; this one commits nothing more`,
    hint: 'nothing is lost: the later run goes on from the last committed epoch',
  })

/** An identifier, whatever is in it. */
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

function noColumn(table: string, name: string, columns: ReadonlyMap<string, Column>): Problem {
  const near = suggest(name, columns.keys())
  return {
    problem: `the table ${table} has no column "${name}"`,
    hint: near
      ? `did you mean "${near}"? (names are as in the record: capitals count)`
      : `add it: ALTER TABLE ${table} ADD COLUMN ${quoted(name)} …; or leave the field out with beck map. (Only tables that beck has made get new columns by themselves.)`,
  }
}
