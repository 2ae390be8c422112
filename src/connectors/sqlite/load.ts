import { realpathSync } from 'node:fs'
import { BeckError } from '../../core/errors.ts'

/** As much of `node:sqlite` as is used. */
export interface SqliteModule {
  readonly DatabaseSync: new (file: string) => SqliteConnection
}
export interface SqliteConnection {
  exec(sql: string): void
  prepare(sql: string): SqliteStatement
  close(): void
}
export interface SqliteStatement {
  run(...values: readonly SqliteValue[]): { readonly changes: number | bigint }
  get(...values: readonly SqliteValue[]): Readonly<Record<string, unknown>> | undefined
  all(...values: readonly SqliteValue[]): Readonly<Record<string, unknown>>[]
}
export type SqliteValue = string | number | bigint | null

/** Its version is in package.json, as an optional dependency. */
const PACKAGE = '@photostructure/sqlite'

/** Node's own SQLite; where it has none (before 22.5), the package with the same interface. @throws BeckError usage */
export function loadSqlite(): SqliteModule {
  // Its types are those of a later Node; it warns that it is experimental.
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    const own = process.getBuiltinModule('node:sqlite') as unknown
    if (own) return own as SqliteModule
  } finally {
    process.emitWarning = emitWarning
  }
  // Beside beck, and beside a single executable.
  const program = process.getBuiltinModule('node:sea').isSea() ? undefined : process.argv[1]
  try {
    const { createRequire } = process.getBuiltinModule('node:module')
    return createRequire(realpathSync(program ?? process.execPath))(PACKAGE) as SqliteModule
  } catch (error) {
    throw missing(error)
  }
}

const missing = (cause: unknown): BeckError => {
  const { code, message } = cause as NodeJS.ErrnoException
  const why = code === 'MODULE_NOT_FOUND' ? 'is not installed' : `cannot be loaded: ${message.split('\n')[0]}`
  return new BeckError(
    'usage',
    {
      problem: `this Node (${process.version}) has no SQLite, and the package ${PACKAGE}, which stands in for it, ${why}`,
      hint: `install it beside beck (npm install ${PACKAGE}@1.2.1 in the folder of the program), or run beck with Node 22.13 or later`,
    },
    { cause },
  )
}
