/**
 * One error class, one table. Code in `src/` throws `new BeckError(code, facts)`; only `src/cli` prints, only `bin` exits.
 * The table is the single place for the text, the exit code and the way out of every error.
 */

/** Exit codes (docs/architecture.md §8). */
export const Exit = { ok: 0, data: 1, usage: 2, outside: 3, fenced: 4, bug: 70 } as const
export type ExitCode = (typeof Exit)[keyof typeof Exit]

type Facts = Readonly<Record<string, string | number | undefined>>
interface Row {
  readonly exit: ExitCode
  /** What is wrong. */
  readonly what: (facts: Facts) => string
  /** What to do next. */
  readonly hint?: (facts: Facts) => string | undefined
}

const row = (exit: ExitCode, what: Row['what'], hint?: Row['hint']): Row =>
  hint ? { exit, what, hint } : { exit, what }
const suggestion = (facts: Facts): string | undefined =>
  facts['suggestion'] ? `did you mean "${facts['suggestion']}"?` : undefined

/** Options that read like words of a sentence. */
const OPTION_WORDS = ['by', 'on', 'limit', 'time', 'keep', 'within', 'type']

/** Every error of beck, by code. Grouped by exit code; `facts` fill the texts. */
export const errorTable = {
  // Exit 1: the data.
  'bad-record': row(
    Exit.data,
    (f) => `${f['problem']}${f['excerpt'] ? `: ${f['excerpt']}` : ''}`,
    (f) => {
      const hint = f['hint'] as string | undefined
      if (hint?.includes('--dead-letter')) return hint
      return `${hint ? `${hint}\n` : ''}keep bad records and go on with --dead-letter FILE`
    },
  ),
  // An input of another format that cannot be read on, not even without one record.
  'bad-input': row(
    Exit.data,
    (f) => `${f['problem']}`,
    (f) => f['hint'] as string | undefined,
  ),
  // A record that is fine in itself, but not for the database that it goes to.
  refused: row(
    Exit.data,
    (f) => `${f['target']} refuses a record: ${f['problem']}: ${f['excerpt']}`,
    (f) => f['hint'] as string | undefined,
  ),
  'not-sorted': row(Exit.data, (f) => `${f['problem']}`),

  // Exit 2: the command line.
  usage: row(
    Exit.usage,
    (f) => `${f['problem']}`,
    (f) => (f['hint'] as string | undefined) ?? suggestion(f),
  ),
  'unknown-command': row(
    Exit.usage,
    (f) => `there is no command "${f['name']}"`,
    (f) => suggestion(f) ?? 'beck --help lists the commands',
  ),
  'bad-option': row(
    Exit.usage,
    (f) => `${f['option']}: ${f['problem']}`,
    (f) => (f['hint'] as string | undefined) ?? suggestion(f),
  ),
  'bad-program': row(
    Exit.usage,
    (f) => `${f['problem']}`,
    (f) => (f['hint'] as string | undefined) ?? suggestion(f),
  ),

  // Exit 3: files, the store, outside systems.
  'no-such-file': row(
    Exit.outside,
    (f) => `${f['file']}: no such file`,
    (f) => {
      const word = String(f['file'])
      // `reduce count by path`, as one would say it.
      return OPTION_WORDS.includes(word)
        ? `the option is --${word}`
        : 'check the path; files are named as the shell expands them'
    },
  ),
  file: row(
    Exit.outside,
    (f) => `${f['file']}: ${f['problem']}`,
    (f) => f['hint'] as string | undefined,
  ),
  // What was read and what there is now are two inputs: nothing can go on from there.
  'input-changed': row(
    Exit.outside,
    (f) => `${f['file']}: has changed ${f['when']}`,
    (f) => f['hint'] as string | undefined,
  ),
  'disk-full': row(
    Exit.outside,
    (f) => `${f['file']}: no space left on the device`,
    () => 'make space, or choose another place with --tmp or --store',
  ),
  'spill-full': row(
    Exit.outside,
    (f) =>
      `no space left in ${f['folder']} for spill files: ${f['written']} are written, and ${f['whole'] === undefined ? `at least ${f['needed']} more` : `some ${f['whole']} in all`} are needed`,
    () => 'make space, name another place with --tmp DIR, or allow more memory with --memory SIZE',
  ),
  process: row(
    Exit.outside,
    (f) => `${f['command']}: ${f['problem']}`,
    (f) => f['hint'] as string | undefined,
  ),
  database: row(
    Exit.outside,
    (f) => `${f['target']}: ${f['problem']}`,
    (f) => f['hint'] as string | undefined,
  ),
  'table-too-large': row(
    Exit.outside,
    (f) => `the table ${f['table']} does not fit --memory ${f['memory']}`,
    (f) =>
      f['asOf']
        ? 'allow more with --memory SIZE, or join two sides that are in order of time with --delay 0s'
        : 'allow more with --memory SIZE, or join by sorting both sides with --merge',
  ),
  'too-many-keys': row(
    Exit.outside,
    () => 'the distinct keys and the records being worked on need more than 4 GiB in one process',
    () =>
      "give each part of the keys a process of its own: beck shuffle --by KEY --partitions 8 --exec 'beck reduce …'",
  ),
  store: row(
    Exit.outside,
    (f) => `${f['problem']}`,
    (f) => f['hint'] as string | undefined,
  ),

  // Exit 4: a commit was refused.
  fenced: row(
    Exit.fenced,
    (f) => `${f['problem']}`,
    (f) => f['hint'] as string | undefined,
  ),
  // The stages of a pipe do not see the same control frames and records.
  frames: row(
    Exit.fenced,
    (f) => `${f['problem']}`,
    (f) =>
      (f['hint'] as string | undefined) ??
      'where another stage has said why, see to that first; then run the same command line again: it goes on after the last committed epoch; only beck commands, and nothing like grep or head, may stand between consume and the end of the pipe',
  ),
} as const satisfies Record<string, Row>

export type ErrorCode = keyof typeof errorTable

/**
 * The one error that beck throws on purpose. Anything else that reaches `bin` is a bug (exit 70).
 * Data errors carry `place` ("access.ndjson:1042:17").
 */
export class BeckError extends Error {
  readonly code: ErrorCode
  readonly facts: Facts
  constructor(code: ErrorCode, facts: Facts = {}, options?: ErrorOptions) {
    super(errorTable[code].what(facts), options)
    this.name = 'BeckError'
    this.code = code
    this.facts = facts
  }
  get exit(): ExitCode {
    return errorTable[this.code].exit
  }
  get hint(): string | undefined {
    return (errorTable[this.code] as Row).hint?.(this.facts)
  }
}

/** Turns a Node file-system error into ours; anything else comes back as it is. */
export function fileError(error: unknown, file: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (!code) return error
  if (code === 'ENOENT') return new BeckError('no-such-file', { file }, { cause: error })
  if (code === 'ENOSPC' || code === 'EDQUOT') return new BeckError('disk-full', { file }, { cause: error })
  return new BeckError('file', { file, problem: plain[code] ?? message }, { cause: error })
}

/** Does something with a file; a file-system error becomes ours. @throws BeckError no-such-file, disk-full, file */
export function atFile<Result>(file: string, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    throw fileError(error, file)
  }
}

const plain: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EISDIR: 'is a directory, not a file',
  EEXIST: 'is there already',
  EROFS: 'is on a read-only file system',
  EIO: 'input/output error: the device could not read or write',
  EMFILE: 'too many open files: raise the limit with ulimit -n',
  EFBIG: 'the file is larger than the limit (ulimit -f)',
  ENOTDIR: 'a part of the path is not a directory',
}
