import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import {
  type Env,
  ensureFolder,
  errnoOf,
  named,
  readSmallFile,
  realEnv,
  removeIfThere,
  writeFileDurably,
} from './env.ts'
import { Journal } from './journal.ts'
import { layout } from './layout.ts'
import { Lock } from './lock.ts'
import { recover } from './recovery.ts'
import { SegmentFiles } from './segments.ts'
import { rehome } from './rehome.ts'
import { type PartitionName, type SegmentEntry, type StoreState, toEntry } from './state.ts'
import { Transaction } from './transaction.ts'

/** A segment whose sync failed. */
interface Unsyncable {
  readonly name: PartitionName
  readonly stem: string
}

const FORMAT = 'beck store'
const VERSION = 1

export interface StoreOptions {
  readonly env?: Env
  /** Make the store when it is not there. */
  readonly create?: boolean
  /** Tells people something: waiting for the lock, what a recovery found. */
  readonly say?: (line: string) => void
  /** When a journal file is replaced. */
  readonly rollBytes?: number
}

/** The folder of the store: `--store`, else `$BECK_STORE`, else `./.beck`. */
export const storeFolder = (option: string | undefined): string => option ?? (process.env['BECK_STORE'] || '.beck')

/**
 * A topic store on this machine. Reading needs no lock: call `refresh` and look at `state`. All changes go through `transact`.
 */
export class Store {
  readonly folder: string
  readonly env: Env
  readonly journal: Journal
  private readonly lock: Lock
  private readonly files: SegmentFiles
  private say: (line: string) => void
  /** The journal ends with what this process knows, if nobody has had the lock since. */
  private settled = false

  private constructor(folder: string, env: Env, { say = () => {}, rollBytes }: StoreOptions) {
    this.folder = folder
    this.env = env
    this.say = say
    this.journal = new Journal(env, folder, rollBytes)
    this.files = new SegmentFiles(env, folder)
    this.lock = new Lock(env, folder, (holder, ms) =>
      this.say(`waiting ${Math.round(ms / 1000)} s for the store's lock, held by process ${holder.pid}`),
    )
  }

  /** Opens a store and reads its journal. @throws BeckError store */
  static open(folder: string, options: StoreOptions = {}): Store {
    const env = options.env ?? realEnv
    const store = new Store(folder, env, options)
    return translate(folder, () => {
      if (!isStore(env, folder)) {
        if (!options.create) {
          throw new BeckError('store', {
            problem: `there is no store at ${folder}`,
            hint: 'name one with --store DIR or $BECK_STORE; the first beck append makes it',
          })
        }
        store.make()
      }
      store.readFirst()
      return store
    })
  }

  /** Whether there is a store. @throws BeckError store, when it is one that this beck must not touch */
  static isThere(folder: string): boolean {
    return translate(folder, () => isStore(realEnv, folder))
  }

  /** Where to tell people things from now on. */
  onSay(say: (line: string) => void): void {
    this.say = say
  }

  get state(): StoreState {
    return this.journal.state
  }

  /** Takes in what others have committed. Returns whether there was anything. @throws BeckError store */
  refresh(): boolean {
    return translate(this.folder, () => {
      const changed = this.journal.refresh()
      this.journal.checkTail()
      return changed
    })
  }

  /**
   * Whoever comes first after a crash or a reboot recovers, a reader too, if it may write. If not, what is damaged is found when it
   * is read.
   */
  private readFirst(): void {
    this.journal.refresh()
    if (this.state.boot === this.env.identity.boot && !this.lock.isAbandoned()) return this.journal.checkTail()
    try {
      const { fromDead } = this.lock.acquire(this.state.gen)
      this.recoverNow(fromDead)
    } catch (error) {
      if (!['EROFS', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) throw error
    } finally {
      this.lock.release()
    }
    this.journal.checkTail()
  }

  /** Under the lock: takes in what is new, and recovers if need be. */
  private recoverNow(fromDead: boolean): void {
    this.journal.refresh()
    const rebooted = this.state.boot !== this.env.identity.boot
    if (!fromDead && !rebooted && !this.journal.tail) return
    for (const line of recover(this.env, this.folder, this.journal, { fromDead, rebooted })) this.say(line)
    // What is there now was read from the disk or was never lost: the new file starts the new boot with everything synced.
    if (rebooted) {
      this.syncAll([])
      this.journal.roll(this.lock.generation, this.env.identity.boot)
    }
  }

  /**
   * One commit: takes the lock, takes in what others did, lets `work` change things, syncs if asked, writes the journal's line,
   * and lets go. Nothing is visible to anybody before the line. `work` must not wait for anything.
   * @param sync whether the commit must survive a power cut when this returns
   * @throws BeckError store, disk-full, fenced; then nothing was changed
   */
  transact<T>(sync: boolean, work: (transaction: Transaction) => T): T {
    return translate(this.folder, () => {
      const { fromDead, again } = this.lock.acquire(this.state.gen)
      try {
        // Who was last, and ended well, knows how the journal ends: looking again costs a third of a small commit.
        const known = again && this.settled && this.journal.isUnchanged
        this.settled = false
        if (!known) this.recoverNow(fromDead)
        return this.commit(sync, work)
      } finally {
        this.lock.release()
      }
    })
  }

  private commit<T>(sync: boolean, work: (transaction: Transaction) => T): T {
    const { journal, lock, env } = this
    const transaction = new Transaction(env, this.folder, this.files, this.state)
    const unsyncable: Unsyncable[] = []
    let committed = false
    try {
      const result = work(transaction)
      if (transaction.empty) {
        this.settled = true
        return result
      }
      const synced = sync || transaction.mustSync
      if (synced) this.syncBefore(transaction, unsyncable)
      if (!lock.stillHeld()) {
        throw new BeckError('fenced', {
          problem: 'another process took over the store while this one was stopped; nothing of this commit was written',
          hint: 'run the command again',
        })
      }
      journal.append(transaction.lineFor(lock.generation, env.identity.boot, synced))
      committed = this.settled = true
      this.tidy(transaction)
      return result
    } catch (error) {
      if (!committed) {
        transaction.takeBack()
        this.replaceUnsyncable(unsyncable)
      }
      throw error
    }
  }

  /** After a commit. What fails here is done by the next one: the commit stands, so nothing is wrong yet. */
  private tidy(transaction: Transaction): void {
    const unsyncable: Unsyncable[] = []
    try {
      transaction.cleanUp()
      if (!this.journal.full) return
      this.syncAll(unsyncable)
      this.journal.roll(this.lock.generation, this.env.identity.boot)
    } catch (error) {
      this.settled = false
      if (errnoOf(error) === undefined) throw error
      this.replaceUnsyncable(unsyncable)
    }
  }

  /** No synced line may follow unsynced ones: brings everything before it, and its own batches, to the disk. */
  private syncBefore(transaction: Transaction, unsyncable: Unsyncable[]): void {
    const own = new Set<string>()
    for (const { name, stem, created } of transaction.unsynced) {
      own.add(`${name}/${stem}`)
      this.syncSegment(name, stem, created || this.state.unsynced.get(name)?.get(stem) === true, unsyncable)
    }
    for (const [name, stems] of this.state.unsynced) {
      if (transaction.deletes(name)) continue
      for (const [stem, created] of stems) {
        if (!own.has(`${name}/${stem}`)) this.syncSegment(name, stem, created, unsyncable)
      }
    }
  }

  private syncAll(unsyncable: Unsyncable[]): void {
    for (const [name, stems] of this.state.unsynced) {
      for (const [stem, created] of stems) this.syncSegment(name, stem, created, unsyncable)
    }
  }

  private syncSegment(name: string, stem: string, created: boolean, unsyncable: Unsyncable[]): void {
    const segment = this.files.get(name, stem)
    try {
      named(layout.records(this.folder, name, stem), () => this.env.sync(segment.records))
      named(layout.index(this.folder, name, stem), () => this.env.sync(segment.index))
      if (created) this.env.syncFolder(layout.partition(this.folder, name))
    } catch (error) {
      unsyncable.push({ name, stem })
      throw error
    }
  }

  /**
   * A file whose sync failed is never appended to again, nor trusted: what it holds of earlier commits goes to new files. Where that
   * fails too, it is at least closed.
   */
  private replaceUnsyncable(unsyncable: readonly Unsyncable[]): void {
    const closed: string[] = []
    const swaps: Record<string, { out: string[]; in: SegmentEntry[] }> = {}
    for (const { name, stem } of unsyncable) {
      this.files.drop(name, stem)
      const segment = this.state.partition(name)?.segments.find((other) => other.stem === stem)
      if (!segment) continue
      const copy = rehome(this.env, this.folder, name, segment)
      if (copy) swaps[name] = { out: [stem], in: [toEntry(copy)] }
      else closed.push(name)
    }
    if (closed.length === 0 && Object.keys(swaps).length === 0) return
    const { n, gen } = this.state
    try {
      const line = { n: n + 1, gen: Math.max(gen, this.lock.generation), at: this.env.now() }
      this.journal.append({
        ...line,
        ...(closed.length > 0 && { f: closed }),
        ...(Object.keys(swaps).length > 0 && { c: swaps }),
      })
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
    }
  }

  /** Closes what is open of a topic whose files go. */
  forget(topic: string): void {
    this.files.dropTopic(topic)
  }

  close(): void {
    this.files.close()
    this.journal.close()
    try {
      this.lock.close()
    } catch (error) {
      if (errnoOf(error) === undefined) throw error // else whoever comes next removes the identity file
    }
  }

  /** Folders, the first journal file, and last `store.json`, which makes it a store. */
  private make(): void {
    const { env, folder } = this
    if (env.kind(parentOf(folder)) === undefined) {
      throw new BeckError('store', {
        problem: `${folder}: the folder that it would be in is not there`,
        hint: `make it first: mkdir -p ${parentOf(folder)}`,
      })
    }
    if (!ensureFolder(env, folder) && env.kind(folder) !== 'folder')
      throw Object.assign(new Error(), { code: 'ENOTDIR' })
    ensureFolder(env, layout.lock(folder))
    this.lock.acquire(0)
    try {
      if (isStore(env, folder)) return // somebody else was first
      for (const part of [layout.journal(folder), layout.topics(folder)]) ensureFolder(env, part)
      if (this.journal.exists) this.journal.refresh()
      else this.journal.roll(this.lock.generation, env.identity.boot)
      env.syncFolder(layout.journal(folder))
      env.syncFolder(folder)
      env.syncFolder(parentOf(folder))
      try {
        writeFileDurably(env, folder, 'store.json', formatMark())
      } catch (error) {
        removeIfThere(env, `${folder}/store.json`) // it may be there without being on the disk
        throw error
      }
    } finally {
      this.lock.release()
    }
  }
}

const parentOf = (path: string): string =>
  path.replace(/\/*$/, '').replace(/(^|\/)[^/]*$/, '') || (path.startsWith('/') ? '/' : '.')
const formatMark = (): string => {
  const text = `{"format":"${FORMAT}","version":${VERSION}`
  return `${text},"crc":"${crc32(text).toString(16).padStart(8, '0')}"}\n`
}

/** Whether there is a store. @throws BeckError store, when it is one that this beck must not touch */
function isStore(env: Env, folder: string): boolean {
  const bytes = readSmallFile(env, `${folder}/store.json`)
  if (!bytes) return false
  const text = bytes.toString('utf8')
  if (text === formatMark()) return true
  const fail = (problem: string, hint: string): never => {
    throw new BeckError('store', { problem: `${folder}: ${problem}`, hint })
  }
  let mark: { format?: unknown; version?: unknown }
  try {
    mark = JSON.parse(text) as typeof mark
  } catch {
    return fail('store.json is damaged', 'restore it from a backup, or from another store of the same version')
  }
  if (mark?.format !== FORMAT) {
    return fail('is not a beck store: store.json names another format', 'choose another folder with --store DIR')
  }
  if (typeof mark.version === 'number' && mark.version > VERSION) {
    return fail(
      `was written by a newer beck (store version ${mark.version}, this one reads ${VERSION})`,
      'use that version of beck, or another folder with --store DIR',
    )
  }
  return fail('store.json is damaged', 'restore it from a backup, or from another store of the same version')
}

const system: Record<string, [problem: string, hint: string]> = {
  EROFS: ['is on a read-only file system', 'reading works: beck replay; to write, use another folder with --store DIR'],
  EACCES: ['permission denied', 'a store belongs to one user (mode 0700): run as that user, or use --store DIR'],
  EPERM: ['not permitted', 'a store belongs to one user (mode 0700): run as that user, or use --store DIR'],
  ELOOP: ['is a symbolic link; the store follows none', 'put the file itself there, or move the whole store'],
  ENOENT: [
    'is missing although it was committed',
    'restore it from a backup; beck topic verify shows which records are lost',
  ],
  ENOTDIR: ['a part of the path is not a folder', 'choose a folder with --store DIR'],
  EIO: [
    'input/output error: the device could not read or write',
    'nothing of this commit counts; look at the disk, then run the command again',
  ],
  EFBIG: [
    'the file would be larger than the limit (ulimit -f)',
    'raise the limit, or use smaller segments: beck topic alter --segment 64MiB',
  ],
}

/** Turns system errors into ours, naming the file. */
export function translate<T>(folder: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const code = errnoOf(error)
    if (error instanceof BeckError || code === undefined) throw error
    const file = (error as NodeJS.ErrnoException).path ?? folder
    if (code === 'ENOSPC' || code === 'EDQUOT') throw new BeckError('disk-full', { file }, { cause: error })
    const [problem, hint] = system[code] ?? [(error as Error).message, undefined]
    throw new BeckError('store', { problem: `${file}: ${problem}`, hint }, { cause: error })
  }
}
