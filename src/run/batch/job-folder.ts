import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { atFile, BeckError } from '../../core/errors.ts'
import { makeFolders, syncFolder } from '../../core/folders.ts'
import { type Identity, identify, isAlive } from '../../log/identity.ts'
import { removeLeftOvers } from '../../pipeline/spill.ts'
import type { JobInput } from './splits.ts'
import type { TaskCounts } from './task.ts'

/** What a job is, as its journal's first line has it: enough to go on with it. */
export interface JobHeader {
  readonly beck: string
  readonly text: string
  readonly name: string
  readonly args: Readonly<Record<string, string>>
  /** The folder it was started in: names of files begin there. */
  readonly cwd: string
  readonly store: string | undefined
  readonly inputs: readonly JobInput[]
  readonly splitBytes: number
  readonly without: readonly string[]
}

/** The folder of a job's own things, within the one of its output. It is gone when the job is done. */
const JOB = '_job'
const JOURNAL = 'journal'
/** `driver.<n>` says who works on the job: the highest one, if it is alive. */
const DRIVER = 'driver'
const SUCCESS = '_SUCCESS'
const TEMPORARY = 'beck-job-'

/**
 * What a job leaves on disk.
 *
 *     out/part-00000.ndjson          complete, as it appeared by rename
 *     out/_SUCCESS                   last of all
 *     out/_job/journal               a header, and a line a task that is done
 *     out/_job/map-00003/            what that task made; map-00004.1-8123/ is an attempt
 *
 * A task is done when its line in the journal is: what it made was renamed and synced before.
 */
export class JobFolder {
  readonly #folder: string
  readonly #job: string
  /** Undefined: nothing outlives this process. */
  readonly #out: string | undefined
  readonly #done = new Map<string, TaskCounts>()
  #attempts = 0

  private constructor(folder: string, out: string | undefined) {
    // Absolute: a resumed job goes to the folder it was started in.
    this.#folder = resolve(folder)
    this.#job = out === undefined ? this.#folder : join(this.#folder, JOB)
    this.#out = out === undefined ? undefined : this.#folder
  }

  /** For a job whose result goes to standard output. @throws BeckError file */
  static temporary(tmp: string): JobFolder {
    return atFile(tmp, () => {
      removeLeftOvers(tmp, TEMPORARY)
      return new JobFolder(mkdtempSync(join(tmp, `${TEMPORARY}${process.pid}-`)), undefined)
    })
  }

  /** A new or empty folder. @throws BeckError file */
  static create(out: string, header: JobHeader): JobFolder {
    const folder = new JobFolder(out, out)
    atFile(out, () => makeFolders(out))
    const there = atFile(out, () => readdirSync(out))
    if (there.length > 0) {
      const begun = there.includes(JOB)
      throw new BeckError('file', {
        file: out,
        problem: begun ? 'has a job that has not ended' : `is not empty: there is ${there[0]}`,
        hint: begun ? `go on with it: beck run --resume ${out}` : 'name a new folder, or one that is empty',
      })
    }
    atFile(folder.#job, () => {
      mkdirSync(folder.#job)
      folder.#lock()
      // The header comes whole or not at all.
      rewrite(join(folder.#job, JOURNAL), `${JSON.stringify(header)}\n`)
      syncFolder(folder.#job)
      syncFolder(out)
    })
    return folder
  }

  /** Goes on with a job; `undefined` when it has ended well. @throws BeckError file, store */
  static resume(out: string): { folder: JobFolder; header: JobHeader } | undefined {
    if (existsSync(join(out, SUCCESS)) && !existsSync(join(out, JOB))) return undefined
    const folder = new JobFolder(out, out)
    const path = join(folder.#job, JOURNAL)
    if (!existsSync(path)) {
      throw new BeckError('file', {
        file: out,
        problem: 'has no job to go on with',
        hint: "start one: beck run --mode parallel --out DIR 'TEXT'",
      })
    }
    return atFile(path, () => {
      folder.#lock()
      const bytes = readFileSync(path, 'utf8')
      // A line without its end was being written when the driver died: that task is not done.
      const whole = bytes.slice(0, bytes.lastIndexOf('\n') + 1)
      if (whole.length < bytes.length) rewrite(path, whole)
      const [header = '', ...lines] = whole.trimEnd().split('\n')
      for (const line of lines) {
        const { task, counts } = JSON.parse(line) as { task: string; counts: TaskCounts }
        folder.#done.set(task, counts)
      }
      folder.#removeAttempts()
      return { folder, header: JSON.parse(header) as JobHeader }
    })
  }

  /** What the task has told, if it is done. */
  done(task: string): TaskCounts | undefined {
    return this.#done.get(task)
  }

  /** A folder for one more attempt: of no other, in this life of the driver or another. It is made by the attempt. */
  attempt(task: string): string {
    return join(this.#job, `${task}.${++this.#attempts}-${process.pid}`)
  }

  /** What a task that is done has made. */
  result(task: string, file: string): string {
    return join(this.#job, task, file)
  }

  /** An attempt has made it. @throws BeckError */
  finish(task: string, attempt: string, counts: TaskCounts): void {
    const place = join(this.#job, task)
    atFile(place, () => {
      // Of a driver that died between this and the journal's line.
      rmSync(place, { recursive: true, force: true })
      if (this.#out !== undefined) syncFolder(attempt)
      renameSync(attempt, place)
      if (this.#out !== undefined) {
        syncFolder(this.#job)
        this.#append(`${JSON.stringify({ task, counts })}\n`)
      }
    })
    this.#done.set(task, counts)
  }

  /** Removes what an attempt has begun. */
  discard(attempt: string): void {
    rmSync(attempt, { recursive: true, force: true })
  }

  /** Lets a file of a task appear as output. Doing it twice is doing it once. @throws BeckError */
  publish(task: string, file: string, name: string): void {
    const from = this.result(task, file)
    const to = join(this.#folder, name)
    atFile(to, () => {
      if (existsSync(from)) renameSync(from, to)
    })
  }

  /** Goes to the folder that the job was started in. @throws BeckError file */
  enter(cwd: string): void {
    atFile(cwd, () => process.chdir(cwd))
  }

  /** Writes a file of the output, which appears when `write` has returned 0. Returns what that returns. @throws BeckError */
  async write(name: string, write: (fd: number, path: string) => Promise<number>): Promise<number> {
    const to = join(this.#folder, name)
    const draft = join(this.#job, name)
    const fd = atFile(to, () => openSync(draft, 'w'))
    try {
      const exit = await write(fd, to)
      if (exit !== 0) return exit
      atFile(to, () => {
        fsyncSync(fd)
        renameSync(draft, to)
      })
      return 0
    } finally {
      closeSync(fd)
    }
  }

  /** The output is complete. @throws BeckError */
  succeed(): void {
    if (this.#out !== undefined) {
      const out = this.#out
      atFile(out, () => {
        syncFolder(out)
        closeSync(openSync(join(out, SUCCESS), 'w'))
        syncFolder(out)
      })
    }
    this.close()
    rmSync(this.#job, { recursive: true, force: true })
  }

  /** Lets another driver go on with it. Doing it twice is doing it once. */
  close(): void {
    if (!existsSync(this.#job)) return
    if (this.#out === undefined) rmSync(this.#job, { recursive: true, force: true })
    else for (const generation of this.#drivers()) rmSync(join(this.#job, `${DRIVER}.${generation}`), { force: true })
  }

  #append(line: string): void {
    const fd = openSync(join(this.#job, JOURNAL), 'a')
    try {
      appendFileSync(fd, line)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }

  /** One driver at a time: linking fails when another one has come first. */
  #lock(): void {
    const draft = join(this.#job, `identity-${process.pid}`)
    writeSynced(draft, JSON.stringify(identify()))
    const last = this.#drivers().at(-1)
    const holder = last === undefined ? undefined : holderOf(join(this.#job, `${DRIVER}.${last}`))
    try {
      if (holder && isAlive(holder) !== 'dead') throw this.#busy(holder.pid)
      linkSync(draft, join(this.#job, `${DRIVER}.${(last ?? 0) + 1}`))
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? this.#busy() : error
    } finally {
      rmSync(draft, { force: true })
    }
  }

  #busy(pid?: number): BeckError {
    return new BeckError('file', {
      file: this.#folder,
      problem: `is being worked on by ${pid === undefined ? 'another process' : `process ${pid}`}`,
      hint: 'wait for it, or end it, and run the same command again',
    })
  }

  #drivers(): number[] {
    return readdirSync(this.#job)
      .map((name) => Number(/^driver\.(\d+)$/.exec(name)?.[1]))
      .filter((generation) => generation > 0)
      .toSorted((a, b) => a - b)
  }

  #removeAttempts(): void {
    for (const name of readdirSync(this.#job)) {
      const finished = /^(map|reduce)-\d+$/.test(name)
      if (finished ? !this.#done.has(name) : /^(map|reduce)-\d+\./.test(name)) {
        rmSync(join(this.#job, name), { recursive: true, force: true })
      }
    }
  }
}

function holderOf(path: string): Identity | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Identity
  } catch {
    return undefined
  }
}

/** By rename: what stood there holds until the new text is whole. */
function rewrite(path: string, text: string): void {
  const draft = `${path}.${process.pid}`
  writeSynced(draft, text)
  renameSync(draft, path)
}

function writeSynced(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
