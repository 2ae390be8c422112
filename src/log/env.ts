import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { syncFolder } from '../core/folders.ts'
import { type Identity, identify, isAlive, type Liveness } from './identity.ts'

/**
 * All file and clock access of the store, behind one interface (LevelDB's idea), so that tests can cut the power, tear writes, fill
 * the disk and crash at any step. Everything is synchronous: one process does one thing, and a commit is a short, exact order of steps.
 * Errors are Node's, with `code` (ENOENT, EIO, ENOSPC …); callers that can name the file better wrap them.
 */
export interface Env {
  /** `read`: for reading. `write`: an existing file, for both. `create`: the same for a new one (EEXIST). None follows a symbolic link (ELOOP). */
  open(path: string, mode: 'read' | 'write' | 'create'): number
  close(fd: number): void
  /** Reads at a position; 0 at the end of the file. May be short. */
  read(fd: number, into: Uint8Array, position: number): number
  /** Writes at a position. May be short: use `writeAll`. */
  write(fd: number, bytes: Uint8Array, position: number): number
  truncate(fd: number, length: number): void
  /** Brings a file's bytes and length to the disk. */
  sync(fd: number): void
  /** Brings a folder's entries to the disk: files created, renamed, linked or removed in it. */
  syncFolder(path: string): void
  /** Length, and whether a name still leads to the file. */
  stat(fd: number): { length: number; linked: boolean }
  kind(path: string): 'file' | 'folder' | 'other' | undefined
  /** Makes one folder, mode 0700. */
  makeFolder(path: string): void
  removeFolder(path: string): void
  /** Names in a folder; empty when there is no such folder. */
  list(path: string): string[]
  rename(from: string, to: string): void
  link(from: string, to: string): void
  unlink(path: string): void
  /** Wall clock, milliseconds since the Unix epoch. */
  now(): number
  sleep(ms: number): void
  /** Who this process is, and whether another one still is. */
  readonly identity: Identity
  alive(other: Identity): Liveness
}

const flags = {
  read: constants.O_RDONLY | constants.O_NOFOLLOW,
  write: constants.O_RDWR | constants.O_NOFOLLOW,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
}
let own: Identity | undefined
const pause = new Int32Array(new SharedArrayBuffer(4))

/** The real thing. */
export const realEnv: Env = {
  open: (path, mode) => openSync(path, flags[mode], 0o600),
  close: closeSync,
  read: (fd, into, position) => readSync(fd, into, 0, into.length, position),
  write: (fd, bytes, position) => writeSync(fd, bytes, 0, bytes.length, position),
  truncate: ftruncateSync,
  sync: fdatasyncSync,
  syncFolder,
  stat(fd) {
    const stat = fstatSync(fd)
    return { length: stat.size, linked: stat.nlink > 0 }
  },
  kind(path) {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat) return undefined
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other'
  },
  makeFolder: (path) => mkdirSync(path, 0o700),
  removeFolder: rmdirSync,
  list(path) {
    try {
      return readdirSync(path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return []
      throw error
    }
  },
  rename: renameSync,
  link: linkSync,
  unlink: unlinkSync,
  now: Date.now,
  sleep: (ms) => void Atomics.wait(pause, 0, 0, ms),
  get identity() {
    return (own ??= identify())
  },
  alive: isAlive,
}

/** The `code` of a system error, or undefined. */
export const errnoOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

/** Adds the file's name to a system error that was about its descriptor. */
export function named<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (errnoOf(error) !== undefined) (error as NodeJS.ErrnoException).path ??= path
    throw error
  }
}

/** Writes everything, over short writes. */
export function writeAll(env: Env, fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length;) {
    const wrote = env.write(fd, at === 0 ? bytes : bytes.subarray(at), position + at)
    if (wrote <= 0) throw Object.assign(new Error('write made no progress'), { code: 'EIO' })
    at += wrote
  }
}

/** Fills `into` from a position; returns how much there was. */
export function readAll(env: Env, fd: number, into: Uint8Array, position: number): number {
  let at = 0
  while (at < into.length) {
    const got = env.read(fd, at === 0 ? into : into.subarray(at), position + at)
    if (got === 0) break
    at += got
  }
  return at
}

/** The bytes of a small file; undefined when there is none. */
export function readSmallFile(env: Env, path: string): Buffer | undefined {
  let fd: number
  try {
    fd = env.open(path, 'read')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const bytes = Buffer.allocUnsafe(env.stat(fd).length)
    return bytes.subarray(0, readAll(env, fd, bytes, 0))
  } finally {
    env.close(fd)
  }
}

/** Writes a new file beside `path`, syncs it and renames it into place; the folder is synced too. */
export function writeFileDurably(env: Env, folder: string, name: string, text: string): void {
  const temporary = `${folder}/.${name}.${env.identity.pid}.tmp`
  removeIfThere(env, temporary)
  const fd = env.open(temporary, 'create')
  try {
    writeAll(env, fd, Buffer.from(text), 0)
    env.sync(fd)
  } finally {
    env.close(fd)
  }
  env.rename(temporary, `${folder}/${name}`)
  env.syncFolder(folder)
}

/** Unlinks; a file that is not there is fine. */
export function removeIfThere(env: Env, path: string): void {
  try {
    env.unlink(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** Makes a folder if it is not there. Returns whether it was made. */
export function ensureFolder(env: Env, path: string): boolean {
  try {
    env.makeFolder(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}
