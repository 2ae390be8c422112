import { isatty } from 'node:tty'
import { Chalk, type ChalkInstance } from 'chalk'
import { BeckError } from '../core/errors.ts'
import { escapeControls } from '../core/excerpt.ts'
import type { ToolIo } from '../core/spec.ts'
import { writeAll } from '../pipeline/descriptor.ts'
import type { Progress } from '../pipeline/run-stage.ts'
import type { Outcome } from '../pipeline/settings.ts'
import type { ByteSource } from '../pipeline/source.ts'

/** What people see: messages and progress, on stderr only. Colour and progress only where stderr is a terminal. */
export class Terminal {
  readonly #quiet: boolean
  readonly #chalk: ChalkInstance
  readonly #stderr = isatty(2)
  #progressShown = false

  constructor(argv: readonly string[]) {
    const end = argv.indexOf('--')
    const words = end < 0 ? argv : argv.slice(0, end)
    this.#quiet = words.includes('--quiet') || words.includes('-q')
    const when =
      words.findLast((_, at) => words[at - 1] === '--color') ??
      words.findLast((word) => word.startsWith('--color='))?.slice(8)
    const color = when === 'always' || (when !== 'never' && this.#stderr && !process.env['NO_COLOR'])
    this.#chalk = new Chalk({ level: color ? 1 : 0 })
  }

  /** Standard output, when it is a terminal. */
  get output(): { columns: number; color: boolean } | undefined {
    return isatty(1) ? { columns: columns(), color: !process.env['NO_COLOR'] } : undefined
  }

  /** A line for people. */
  say(line: string): void {
    this.clear()
    writeAll(2, Buffer.from(`${line}\n`), 'standard error')
  }

  /** `beck filter: stdin:2:6: what is wrong` and, indented, the way out. */
  error(where: string, error: unknown): void {
    try {
      if (!(error instanceof BeckError)) {
        const { message, stack } = error as Error
        this.say(`${where}: ${this.#chalk.red('a bug in beck')}: ${escapeControls(message ?? String(error))}`)
        this.say(
          process.env['BECK_DEBUG']
            ? String(stack)
            : '  please report it with the output of the same command under BECK_DEBUG=1',
        )
        return
      }
      const place = error.facts['place']
      this.say(
        `${where}: ${place === undefined ? '' : `${escapeControls(String(place))}: `}${this.#chalk.red(escapeControls(error.message))}`,
      )
      if (error.hint) for (const line of error.hint.split('\n')) this.say(`  ${escapeControls(line)}`)
      if (process.env['BECK_DEBUG']) this.say(String(error.stack))
    } catch {
      // Standard error is gone: the exit code still tells.
    }
  }

  /** What a run counted, unless it was nothing or `--quiet`. */
  report(where: string, { counts, deadLetters }: Outcome): void {
    this.clear()
    if (this.#quiet) return
    if (deadLetters > 0) this.say(`${where}: kept ${plural(deadLetters, 'bad record')} in the dead letters`)
    for (const [what, records] of counts) if (records > 0) this.say(`${where}: ${what} ${plural(records, 'record')}`)
  }

  /** A line that shows how much of the files is read; undefined where nobody would see it. */
  progress(files: readonly string[]): Progress | undefined {
    if (!this.#stderr || this.#quiet || files.length === 0) return undefined
    let next = Date.now() + 500
    return (source: ByteSource) => {
      if (!source.size || Date.now() < next) return
      next = Date.now() + 200
      const percent = Math.floor((source.consumed() / source.size) * 100)
      writeAll(2, Buffer.from(`\r\u001b[K${escapeControls(source.name)} ${percent} %`), 'standard error')
      this.#progressShown = true
    }
  }

  /** Takes the progress line away. */
  clear(): void {
    if (this.#progressShown) writeAll(2, Buffer.from('\r\u001b[K'), 'standard error')
    this.#progressShown = false
  }

  /** What a tool stage gets. */
  toolIo(): ToolIo {
    return {
      write: (bytes) => writeAll(1, typeof bytes === 'string' ? Buffer.from(bytes) : bytes, 'standard output'),
      say: (line) => {
        if (!this.#quiet) this.say(line)
      },
      terminal: { stdout: isatty(1), stderr: this.#stderr, columns: columns() },
    }
  }
}

/** Only a terminal is asked: merely touching `process.stdout` makes any other descriptor non-blocking. */
const columns = (): number => (isatty(1) && process.stdout.columns) || 80

const plural = (n: number, noun: string): string => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`
