import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { type Env, errnoOf, named, readAll, removeIfThere, writeAll } from './env.ts'
import { layout, padded } from './layout.ts'
import { type Line, StoreState } from './state.ts'

/**
 * The commit journal: numbered lines, each ended by its own CRC. A line is the only commit point of the store.
 *
 *     {"n":17,"gen":4,"at":1767225600000,"w":{…},"crc":"9a3c01ff"}\n
 *     └────────────── the CRC covers these bytes ─┘└── 18 bytes ──┘
 *
 * A file `journal/<n>.ndjson` begins with a line that holds the full state, so that starting reads one file and not history.
 */
const SEAL = 18
/** Beyond this (and beyond four times the live state) a journal file is replaced: 512 KiB, 4,000 short lines, are read and applied in some 20 ms. */
const ROLL_BYTES = 512 * 1024

/** One line with its number and CRC. */
export function sealLine(line: Line): Buffer {
  const body = JSON.stringify(line).slice(0, -1)
  const bytes = Buffer.from(`${body},"crc":"00000000"}\n`)
  const crc = crc32(bytes.subarray(0, bytes.length - SEAL - 1))
  bytes.write(crc.toString(16).padStart(8, '0'), bytes.length - 11, 'latin1')
  return bytes
}

/** Reads one line without its "\n"; undefined when its CRC does not hold. */
export function unsealLine(bytes: Buffer): Line | undefined {
  const body = bytes.length - SEAL
  if (body < 1) return undefined
  const text = bytes.toString('utf8')
  if (!text.endsWith(`,"crc":"${crc32(bytes.subarray(0, body)).toString(16).padStart(8, '0')}"}`)) return undefined
  return JSON.parse(text) as Line
}

/** Bytes after the last good line. */
export interface Tail {
  readonly at: number
  readonly bytes: Buffer
  /** A torn write leaves a piece of a line, without its end; anything else is damage. */
  readonly torn: boolean
}

/** A view of the journal that follows it. Readers use `refresh`; whoever holds the store's lock may also `append` and `roll`. */
export class Journal {
  state = new StoreState()
  tail: Tail | undefined
  /** Where the first line since the last synced one stands in the file. */
  private unsyncedFrom: number | undefined
  private file: { readonly fd: number; readonly name: string; end: number; stateBytes: number } | undefined
  private readonly env: Env
  private readonly store: string
  private readonly folder: string

  private readonly rollBytes: number

  constructor(env: Env, store: string, rollBytes = ROLL_BYTES) {
    this.rollBytes = rollBytes
    this.env = env
    this.store = store
    this.folder = layout.journal(store)
  }

  close(): void {
    if (this.file) this.env.close(this.file.fd)
    this.file = undefined
  }

  /** Name of the newest file; undefined when there is none. */
  private newest(): string | undefined {
    let newest: string | undefined
    for (const name of this.env.list(this.folder)) {
      if (/^\d{20}\.ndjson$/.test(name) && (newest === undefined || name > newest)) newest = name
    }
    return newest
  }

  get exists(): boolean {
    return this.newest() !== undefined
  }

  /** Where the newest file is, for watching it. */
  get path(): string {
    return `${this.folder}/${this.file?.name ?? ''}`
  }

  /** Nothing was written to the file since this process has read it, or written to it. */
  get isUnchanged(): boolean {
    return this.file !== undefined && !this.tail && this.env.stat(this.file.fd).length === this.file.end
  }

  /**
   * Applies what was committed since the last call. Returns whether there was anything.
   * @throws BeckError store, when the journal is missing or damaged
   */
  refresh(): boolean {
    const before = this.state.n
    for (let attempt = 0; ; attempt++) {
      // The old file may still have got lines before its successor was made: read it out first, then look for a successor.
      if (this.file) this.readOn()
      const newest = this.newest()
      if (newest === undefined) throw this.missing()
      if (newest === this.file?.name) return this.state.n !== before
      if (this.tail && !this.tail.torn) throw this.damaged(this.tail)
      try {
        const fd = this.env.open(`${this.folder}/${newest}`, 'read')
        this.close()
        this.file = { fd, name: newest, end: 0, stateBytes: 0 }
      } catch (error) {
        // Replaced between listing and opening.
        if (errnoOf(error) !== 'ENOENT' || attempt > 100) throw error
      }
    }
  }

  private readOn(): void {
    const file = this.file
    if (!file) return
    const length = this.env.stat(file.fd).length - file.end
    this.tail = undefined
    if (length <= 0) return
    const bytes = Buffer.allocUnsafe(length)
    const block = bytes.subarray(0, readAll(this.env, file.fd, bytes, file.end))
    let at = 0
    while (at < block.length) {
      const end = block.indexOf(10, at)
      const line = end < 0 ? undefined : unsealLine(block.subarray(at, end))
      if (!line) break
      const first = file.end === 0
      if (first ? !line.state || file.name !== `${padded(line.n)}.ndjson` : line.n !== this.state.n + 1) break
      this.state.apply(line)
      this.remember(line, file.end)
      file.end += end + 1 - at
      if (first) file.stateBytes = file.end
      at = end + 1
    }
    if (at < block.length) this.tail = this.judge(Buffer.from(block.subarray(at)), file.end)
  }

  /** A piece of a line at the end is a torn write, unless only the line's end is wrong: then a committed line was damaged. */
  private judge(bytes: Buffer, at: number): Tail {
    const torn = at > 0 && !bytes.includes(10) && !unsealLine(bytes.subarray(0, -1))
    return { at, bytes, torn }
  }

  /** For a reader: a torn tail is somebody's commit under way; anything else is damage. */
  checkTail(): void {
    if (this.tail && !this.tail.torn) throw this.damaged(this.tail)
  }

  /**
   * Under the lock: makes the file end with its last good line. `rebooted`: what the disk did not get may read as anything, so
   * everything after the last synced line may be cut.
   */
  repair(rebooted: boolean): void {
    const { tail } = this
    if (!tail) return
    if (!tail.torn && !(rebooted && tail.at > 0 && !showsDamage(tail.bytes))) throw this.damaged(tail)
    const fd = this.env.open(this.path, 'write')
    try {
      this.setAside(tail.bytes)
      this.env.truncate(fd, tail.at)
      this.env.sync(fd)
    } finally {
      this.env.close(fd)
    }
    this.tail = undefined
  }

  /** For whoever looks into the accident: not needed by anything, so that failing to write it does not matter. */
  private setAside(bytes: Buffer): void {
    try {
      const path = `${this.path}.torn`
      removeIfThere(this.env, path)
      const fd = this.env.open(path, 'create')
      try {
        writeAll(this.env, fd, bytes, 0)
      } finally {
        this.env.close(fd)
      }
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
    }
  }

  /** Whether the file is due to be replaced. */
  get full(): boolean {
    return this.file !== undefined && this.file.end > Math.max(this.rollBytes, 4 * this.file.stateBytes)
  }

  /**
   * Under the lock, with nothing in the tail: writes one line, synced when it says so, and applies it.
   * After a failure the line is taken back; if its sync failed, the file is replaced, since nobody knows what the disk has.
   */
  append(line: Line): void {
    const file = this.file
    if (!file || this.tail) throw new Error('append to a journal that was not refreshed and repaired')
    const bytes = sealLine(line)
    let stage: 'write' | 'sync' = 'write'
    const fd = this.env.open(this.path, 'write')
    try {
      named(this.path, () => writeAll(this.env, fd, bytes, file.end))
      if (line.sync) {
        stage = 'sync'
        named(this.path, () => this.env.sync(fd))
      }
    } catch (error) {
      if (errnoOf(error) === undefined) throw error // a crash of the test's making: nothing runs any more
      this.takeBack(fd, file.end, stage, line.gen)
      throw error
    } finally {
      this.env.close(fd)
    }
    this.state.apply(line)
    this.remember(line, file.end)
    file.end += bytes.length
  }

  private remember(line: Line, at: number): void {
    if (line.sync) this.unsyncedFrom = undefined
    else this.unsyncedFrom ??= at
  }

  /** Lines since the last synced one, read again: what a power cut may have taken. They are not kept: few starts need them. */
  *unsyncedLines(): Generator<{ readonly line: Line; readonly at: number }> {
    const { file, unsyncedFrom = Infinity } = this
    if (!file || unsyncedFrom >= file.end) return
    const bytes = Buffer.allocUnsafe(file.end - unsyncedFrom)
    const block = bytes.subarray(0, readAll(this.env, file.fd, bytes, unsyncedFrom))
    for (let at = 0, end; at < block.length; at = end + 1) {
      end = block.indexOf(10, at)
      const line = end < 0 ? undefined : unsealLine(block.subarray(at, end))
      if (!line) throw this.damaged({ at: unsyncedFrom + at, bytes: Buffer.from(block.subarray(at)), torn: false })
      yield { line, at: unsyncedFrom + at }
    }
  }

  /** Under the lock, after a reboot: removes the lines from `at` on, and reads what is left. */
  cut(at: number): void {
    const fd = this.env.open(this.path, 'write')
    try {
      this.env.truncate(fd, at)
      this.env.sync(fd)
    } finally {
      this.env.close(fd)
    }
    this.close()
    this.state = new StoreState()
    this.unsyncedFrom = undefined
    this.refresh()
  }

  private takeBack(fd: number, end: number, stage: 'write' | 'sync', gen: number): void {
    try {
      this.env.truncate(fd, end)
      if (stage === 'sync') this.roll(gen, this.state.boot)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error // else the next holder of the lock finds the torn tail and repairs it
    }
  }

  /** Under the lock: starts a new file with the full state. Everything the state names must have been synced. */
  roll(gen: number, boot: string): void {
    const { env, folder } = this
    const n = this.state.n + 1
    const line: Line = { n, gen, at: env.now(), boot, sync: true, state: this.state.full() }
    const bytes = sealLine(line)
    const temporary = `${folder}/.${padded(n)}.tmp`
    removeIfThere(env, temporary)
    const fd = env.open(temporary, 'create')
    try {
      writeAll(env, fd, bytes, 0)
      env.sync(fd)
      env.rename(temporary, `${folder}/${padded(n)}.ndjson`)
      env.syncFolder(folder)
    } catch (error) {
      env.close(fd)
      // The new name may be there without being on the disk: then nobody may write to it.
      for (const name of [temporary, `${folder}/${padded(n)}.ndjson`]) removeIfThere(env, name)
      throw error
    }
    const old = this.file
    if (old) env.close(old.fd)
    this.file = { fd, name: `${padded(n)}.ndjson`, end: bytes.length, stateBytes: bytes.length }
    this.state.apply(line)
    this.unsyncedFrom = undefined
    for (const name of env.list(folder)) if (name < this.file.name) removeIfThere(env, `${folder}/${name}`)
  }

  private missing(): BeckError {
    return new BeckError('store', {
      problem: `${this.store}: the journal is missing`,
      hint: `restore ${this.folder} from a backup; the records themselves are plain lines in ${layout.topics(this.store)}`,
    })
  }

  private damaged(tail: Tail): BeckError {
    return new BeckError('store', {
      problem: `${this.path}: damaged at bytes ${tail.at} to ${tail.at + tail.bytes.length} (after commit ${this.state.n})`,
      hint: 'nothing was changed; restore the file from a backup, or keep a copy of the store before repairing it by hand',
    })
  }
}

/**
 * Whether a good line follows a good synced one: the first one's sync had ended when the second was written, so what is bad before
 * them was on the disk once. A single synced line may have got there without those before it.
 */
function showsDamage(bytes: Buffer): boolean {
  let synced = false
  for (let at = 0, end; (end = bytes.indexOf(10, at)) >= 0; at = end + 1) {
    const line = unsealLine(bytes.subarray(at, end))
    if (line && synced) return true
    if (line?.sync) synced = true
  }
  return false
}
