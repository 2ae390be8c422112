import { fstatSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'
import { escapeControls } from '../core/excerpt.ts'
import type { ToolIo } from '../core/spec.ts'
import { writeAll, writeBehind } from '../pipeline/descriptor.ts'
import type { Progress } from '../pipeline/run-stage.ts'
import type { Outcome } from '../pipeline/settings.ts'
import type { ByteSource } from '../pipeline/source.ts'

/** What people see: messages and progress, on stderr only. Colour and progress only where stderr is a terminal. */
export class Terminal {
  readonly #quiet: boolean
  readonly #color: boolean
  readonly #stderr = isTerminal(2)
  #progressShown = false

  constructor(argv: readonly string[]) {
    const end = argv.indexOf('--')
    const words = end < 0 ? argv : argv.slice(0, end)
    this.#quiet = words.includes('--quiet') || words.includes('-q')
    const when =
      words.findLast((_, at) => words[at - 1] === '--color') ??
      words.findLast((word) => word.startsWith('--color='))?.slice(8)
    this.#color = when === 'always' || (when !== 'never' && this.#stderr && !process.env['NO_COLOR'])
  }

  /** Standard output, when it is a terminal. */
  get output(): { columns: number; color: boolean } | undefined {
    return isTerminal(1) ? { columns: columns(), color: !process.env['NO_COLOR'] } : undefined
  }

  /** A line for people. */
  say(line: string): void {
    this.clear()
    writeAll(2, Buffer.from(`${line}\n`), 'standard error')
  }

  /** `beck filter: stdin:2:6: what is wrong` and, indented, the way out. */
  async error(where: string, error: unknown): Promise<void> {
    const { Chalk } = await import('chalk')
    const { red } = new Chalk({ level: this.#color ? 1 : 0 })
    try {
      if (!(error instanceof BeckError)) {
        const { message, stack } = error as Error
        this.say(`${where}: ${red('a bug in beck')}: ${escapeControls(message ?? String(error))}`)
        this.say(
          process.env['BECK_DEBUG']
            ? String(stack)
            : '  please report it with the output of the same command under BECK_DEBUG=1',
        )
        return
      }
      const place = error.facts['place']
      this.say(
        `${where}: ${place === undefined ? '' : `${escapeControls(String(place))}: `}${red(escapeControls(error.message))}`,
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

  /** A line that shows how far something is, in place of the one before. Only people on a terminal see it. */
  status(line: string): void {
    if (!this.#stderr || this.#quiet) return
    writeAll(2, Buffer.from(`\r\u001b[K${escapeControls(line).slice(0, columns())}`), 'standard error')
    this.#progressShown = true
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
      writeBehind: (bytes) => writeBehind(1, bytes, 'standard output'),
      say: (line) => {
        if (!this.#quiet) this.say(line)
      },
      terminal: { stdout: isTerminal(1), stderr: this.#stderr, columns: columns() },
    }
  }
}

/** Only a terminal is asked: merely touching `process.stdout` makes any other descriptor non-blocking. */
const columns = (): number => (isTerminal(1) && process.stdout.columns) || 80

/** Does not load Node's `tty`, and the network with it, where there clearly is no terminal. */
function isTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice() && process.getBuiltinModule('node:tty').isatty(fd)
  } catch {
    return false // not open
  }
}

const plural = (n: number, noun: string): string => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`
