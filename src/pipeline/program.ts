import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { BeckError } from '../core/errors.ts'
import type { ProcessStage } from '../core/spec.ts'

const NEWLINE = 10

/** What a program shares its process with. */
export interface ProgramAround {
  /** Awaited before more of its output is taken: who takes it is behind, and the program waits, too. Never rejects. */
  readonly ready?: (() => Promise<void> | undefined) | undefined
  /** Gets what it writes to standard error. Without it that is ours. */
  readonly said?: ((text: Readable) => void) | undefined
}

/**
 * A run of another program between our input and our output. Its output is taken as it comes, so that neither waits for the other for
 * ever. It may end before it has read everything, as `head` does.
 */
export class Program {
  /** Lines that it has been given, and lines that it has answered. */
  asked = 0
  answered = 0
  private readonly child: ChildProcess
  private readonly what: string
  private readonly ended: Promise<void>
  private failure: { readonly error: unknown } | undefined
  private done = false
  private wake: () => void = () => {}

  /**
   * @param take gets whole lines of its output, each ended by "\n"
   * @param input 'ours' when it reads our standard input itself
   */
  constructor(
    { command, words }: ProcessStage,
    take: (lines: Uint8Array) => void,
    { ready, said }: ProgramAround,
    input: 'pipe' | 'ours' = 'pipe',
  ) {
    this.what = [command, ...words].join(' ')
    this.child = spawn(command, words, {
      stdio: [input === 'ours' ? 'inherit' : 'pipe', 'pipe', said ? 'pipe' : 'inherit'],
    })
    if (this.child.stderr) said?.(this.child.stderr)
    this.child.stdin?.on('error', () => {}) // it reads no more: its exit code says whether that is fine
    this.collect(this.child.stdout as Readable, take, ready)
    this.ended = new Promise<void>((resolve) => {
      this.child.once('error', (error) => {
        this.fail(notStarted(command, error))
        resolve()
      })
      this.child.once('close', (code, signal) => {
        if (code !== 0) this.fail(failed(this.what, code, signal))
        resolve()
      })
    }).then(() => {
      this.done = true
      this.wake()
    })
  }

  private collect(from: Readable, take: (lines: Uint8Array) => void, ready: ProgramAround['ready']): void {
    let carried: Uint8Array[] = []
    const hand = (lines: Uint8Array): void => {
      if (this.failure) return
      for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) this.answered++
      try {
        take(lines)
      } catch (error) {
        this.fail(error)
        this.kill()
      }
      this.wake()
      const behind = ready?.()
      if (!behind) return
      from.pause()
      void behind.then(() => from.resume())
    }
    from.on('data', (chunk: Buffer) => {
      const end = chunk.lastIndexOf(NEWLINE) + 1
      if (end === 0) return void carried.push(chunk)
      hand(carried.length === 0 ? chunk.subarray(0, end) : Buffer.concat([...carried, chunk.subarray(0, end)]))
      carried = end < chunk.length ? [chunk.subarray(end)] : []
    })
    // The last line may lack its end.
    from.on('end', () => {
      if (carried.length > 0) hand(Buffer.concat([...carried, Buffer.of(NEWLINE)]))
    })
  }

  private fail(error: unknown): void {
    this.failure ??= { error }
    this.wake()
  }

  /** Whether it reads on. */
  get open(): boolean {
    return !this.done && this.child.stdin?.writable === true
  }

  /** Gives it bytes, which may be used again afterwards. @throws BeckError process, and what `take` has thrown */
  async write(bytes: Uint8Array): Promise<void> {
    this.check()
    if (!this.open) return
    // Also called when it has gone.
    await new Promise<void>((resolve) => (this.child.stdin as Writable).write(bytes, () => resolve()))
    this.check()
  }

  /** Waits until it has answered each line that it was asked. `say` tells people what takes so long. @throws BeckError process */
  async answers(say: (line: string) => void): Promise<void> {
    const timer = setTimeout(() => {
      const hint = 'a program that gathers its output must be told not to: jq --unbuffered, sed -u'
      say(`beck via: waiting for ${this.what}, which has answered ${this.answered} of ${this.asked} lines; ${hint}`)
    }, SLOW_MS)
    try {
      while (this.answered < this.asked) {
        this.check()
        if (this.done) throw this.unanswered('ended')
        await new Promise<void>((resolve) => (this.wake = resolve))
      }
    } finally {
      clearTimeout(timer)
      this.wake = () => {}
    }
    this.checkAnswers()
  }

  checkAnswers(): void {
    this.check()
    if (this.answered !== this.asked) throw this.unanswered('has answered')
  }

  private unanswered(how: string): BeckError {
    return new BeckError('process', {
      command: this.what,
      problem: `${how}: ${this.asked} lines in, ${this.answered} out, and under --lines each line has one answer`,
      hint: 'leave out --lines: then the program is run once per epoch, and may write as many lines as it likes',
    })
  }

  /** Ends its input and waits for its end. @throws BeckError process, and what `take` has thrown */
  async finish(): Promise<void> {
    this.child.stdin?.end()
    await this.ended
    this.check()
  }

  kill(): void {
    this.child.kill()
  }

  private check(): void {
    if (this.failure) throw this.failure.error
  }
}

/** People are told after so long. */
const SLOW_MS = 5_000

function notStarted(command: string, error: Error): BeckError {
  const { code } = error as NodeJS.ErrnoException
  const problem =
    code === 'ENOENT' ? 'there is no such program' : code === 'EACCES' ? 'is not executable' : error.message
  return new BeckError(
    'process',
    { command, problem, hint: 'is it installed and on the PATH? for a line of the shell: beck via -- sh -c "…"' },
    { cause: error },
  )
}

const failed = (command: string, code: number | null, signal: string | null): BeckError =>
  new BeckError('process', {
    command,
    problem: signal ? `was ended by ${signal}` : `ended with exit code ${code}`,
    hint: 'what it has to say stands above; where such an end is fine (grep without a match): beck via -- sh -c "… || true"',
  })
