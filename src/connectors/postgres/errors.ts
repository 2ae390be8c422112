import { BeckError } from '../../core/errors.ts'

/** What the server or the network says. `code`: SQLSTATE (https://www.postgresql.org/docs/15/errcodes-appendix.html) or errno. */
export interface PostgresError extends Error {
  readonly code: string
  readonly hint?: string
}

const isError = (error: unknown): error is PostgresError =>
  error instanceof Error && typeof (error as { readonly code?: unknown }).code === 'string'

/** The server takes one of the rows as wrong: data exceptions, violated constraints, values of another type. */
export const isAboutRows = (error: unknown): error is PostgresError =>
  isError(error) && (/^(22|23)...$/.test(error.code) || ['42804', '428C9', '44000'].includes(error.code))

/** ON CONFLICT DO UPDATE met a row twice in one statement. */
export const isRowTwice = (error: unknown): boolean => isError(error) && error.code === '21000'

/** An error of node-postgres as ours, with the original as its cause. */
export function postgresError(target: string, error: unknown): unknown {
  if (error instanceof BeckError || !(error instanceof Error)) return error
  const { code = '' } = error as Partial<PostgresError>
  if (code === '42P10') {
    return new BeckError(
      'bad-option',
      {
        option: '--key',
        problem: 'the table has no unique index on these columns, so nothing says which row to replace',
        hint: 'make one: CREATE UNIQUE INDEX ON … (…)',
      },
      { cause: error },
    )
  }
  const [problem, hint] = known[code] ?? [error.message || code, undefined]
  return new BeckError('database', { target, problem, hint: hint ?? hintOf(error) }, { cause: error })
}

const hintOf = (error: Error): string | undefined => (error as Partial<PostgresError>).hint

const known: Readonly<Record<string, readonly [problem: string, hint: string]>> = {
  ECONNREFUSED: ['nobody listens there', 'is the server running, and are host and port right?'],
  ENOTFOUND: ['there is no such host', 'check the address: postgres://USER@HOST:PORT/DATABASE'],
  ENOENT: ['nobody listens there', 'is the server running, and is the folder of its socket right?'],
  ERR_INVALID_URL: [
    'the address cannot be read',
    'write postgres://USER@HOST:PORT/DATABASE; in a password, @ is %40 and / is %2F',
  ],
  '28P01': ['user or password are wrong', 'passwords may stand in ~/.pgpass or $PGPASSWORD, so that nobody sees them'],
  '3D000': ['there is no such database', 'make it first: createdb NAME'],
}
