import { fstatSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { countLines } from '../core/count-lines.ts'
import { BeckError } from '../core/errors.ts'
import { escapeControls } from '../core/excerpt.ts'
import type { ToolIo } from '../core/spec.ts'
import { writeAll, writeBehind } from '../pipeline/descriptor.ts'
import type { Progress } from '../pipeline/run-stage.ts'
import type { Outcome } from '../pipeline/settings.ts'
import { Board, linesOf, type Reading, send, takeUpward } from './board.ts'

/** What people see: messages and progress, on stderr only. Colour and progress only where stderr is a terminal. */
export class Terminal {
  readonly #quiet: boolean
  readonly #color: boolean
  readonly #stderr = isTerminal(2)
  /** A process that a run has started sends up what it does, and has people at the other end of its standard error. */
  readonly #upward = takeUpward(process.env)
  /** Lines of progress that stand at the end of the screen. */
  #linesShown = 0
  /** Somebody has said part of a line. */
  #lineBegun = false

  constructor(argv: readonly string[]) {
    const end = argv.indexOf('--')
    const words = end < 0 ? argv : argv.slice(0, end)
    this.#quiet = words.includes('--quiet') || words.includes('-q')
    const when =
      words.findLast((_, at) => words[at - 1] === '--color') ??
      words.findLast((word) => word.startsWith('--color='))?.slice(8)
    const people = this.#stderr || this.#upward?.people === true
    this.#color = when === 'always' || (when !== 'never' && people && !process.env['NO_COLOR'])
  }

  /** What is sent up has to say what is given out, too. */
  get tellsOut(): boolean {
    return this.#upward?.out === true
  }

  /** Standard output, when it is a terminal. */
  get output(): { columns: number; color: boolean } | undefined {
    return isTerminal(1) ? { columns: columns(), color: !process.env['NO_COLOR'] } : undefined
  }

  /** A line for people. */
  /** A line for people, unless they have asked for quiet; `always` where it is no news of ours, as what other programs say. */
  news(line: string, always = false): void {
    if (always || !this.#quiet) this.say(line)
  }

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

  /** Told how a command reads its inputs: a line that shows how much of the files is read. Undefined where nobody would see it. */
  progress(files: readonly string[]): Progress | undefined {
    // A stage that is told to be quiet is seen all the same, as in one process.
    if (this.#upward) return this.#sending()
    if (this.#quiet || !this.#stderr || files.length === 0) return undefined
    let next = Date.now() + 500
    return (source) => {
      if (!source.size || Date.now() < next) return
      next = Date.now() + 200
      this.#paint([`${source.name} ${Math.floor((source.consumed() / source.size) * 100)} %`])
    }
  }

  /** Sends up what is read. */
  #sending(): Progress {
    const add = this.#adding()
    const take: Progress = (source, records, watermark) =>
      add(records, {
        ...(source.size !== undefined && { input: { name: source.name, part: source.consumed() / source.size } }),
        ...(watermark !== undefined && { watermark }),
      })
    return Object.assign(take, { live: true as const })
  }

  /** Sends up what this process, which is one stage of a run, has done. The run knows its name. */
  #adding(): Adding {
    const board = this.board(true) as Board // this process sends up
    // Nothing is said before something is read: a program behind via is not asked.
    let reading: Reading | undefined
    const readings = (): readonly Reading[] => (reading ? [reading] : [])
    board.keepShown(readings)
    // What came since the last time, or all of it: many a stage is done before anything is shown.
    process.once('exit', () => {
      if (reading) board.last(readings)
    })
    return (records, more) => {
      reading = { name: '', ...reading, ...more, records: (reading?.records ?? 0) + records }
      board.show(readings)
    }
  }

  /**
   * Shows what the stages of a run do, or sends it up. Undefined where nobody would see it.
   * @param apart nothing is written to standard output: if that is the terminal, too, the output itself shows how it goes
   */
  board(apart: boolean): Board | undefined {
    const upward = this.#upward
    if (upward) return new Board((readings) => send(upward, readings), true)
    if (this.#quiet || !this.#stderr || (!apart && isTerminal(1))) return undefined
    const lines = linesOf()
    return new Board((readings) => this.#paint(lines(readings)))
  }

  /** Shows what a process says, above the lines of progress. Resolves at its end. */
  async passOn(said: Readable): Promise<void> {
    said.on('data', (bytes: Buffer) => {
      this.clear()
      writeAll(2, bytes, 'standard error')
      this.#lineBegun = bytes.at(-1) !== LF
    })
    await new Promise((resolve) => said.once('close', resolve))
  }

  /** Shows lines in place of those before. */
  #paint(lines: readonly string[]): void {
    const { columns, rows } = process.stderr
    const shown = lines
      .slice(0, Math.max((rows || 24) - 1, 1))
      // A line that is broken by the screen would be two.
      .map((line) => escapeControls(line).slice(0, Math.max((columns || 80) - 1, 1)))
    const before = this.#lineBegun ? '\n' : this.#erase()
    this.#lineBegun = false
    writeAll(2, Buffer.from(before + shown.join('\n')), 'standard error')
    this.#linesShown = shown.length
  }

  #erase(): string {
    return this.#linesShown > 1 ? `\r\u001b[${this.#linesShown - 1}A\u001b[J` : '\r\u001b[J'
  }

  /** Takes the lines of progress away. */
  clear(): void {
    if (this.#linesShown > 0) writeAll(2, Buffer.from(this.#erase()), 'standard error')
    this.#linesShown = 0
  }

  /** What a tool stage gets. */
  toolIo(): ToolIo {
    // One that stands among other stages in this process neither writes nor tells by itself.
    let adding: Adding | undefined
    const watched = this.#upward !== undefined
    const add: Adding = (records, more) => (adding ??= this.#adding())(records, more)
    const wrote = (bytes: Uint8Array | string): void => {
      if (!watched) return
      add(countLines(bytes))
    }
    return {
      write: (bytes) => {
        wrote(bytes)
        return writeAll(1, typeof bytes === 'string' ? Buffer.from(bytes) : bytes, 'standard output')
      },
      writeBehind: (bytes) => {
        wrote(bytes)
        return writeBehind(1, bytes, 'standard output')
      },
      say: (line) => this.news(line),
      terminal: { stdout: isTerminal(1), stderr: this.#stderr, columns: columns() },
      ...(watched && { behind: (records) => add(0, { behind: records }), wrote: (records) => add(records) }),
    }
  }
}

const LF = 10

/** Told of records more, and of whatever else has changed. */
type Adding = (records: number, more?: Partial<Reading>) => void

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
