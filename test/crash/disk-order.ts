import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/**
 * What a power cut may take at each moment of a run, from its system calls as strace has them: bytes of files that no sync has ended for, and
 * names in folders that were not synced since. Who promises something says at which call what has to be safe.
 */
export class DiskOrder {
  readonly #root: string
  readonly #names = new Map<string, Name>()
  /** Files that were removed, or renamed away, since their folder was synced. */
  readonly #gone = new Map<string, string>()
  /** A sync counts for what was there when it began. */
  readonly #begun = new Map<string, () => void>()
  readonly #rest = new Map<string, string>()

  /** @param root what is in there now is on the disk */
  constructor(root: string) {
    this.#root = root
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      const { size } = statSync(path)
      this.#names.set(path, { isSafe: true, file: entry.isDirectory() ? undefined : { size, synced: size } })
    }
  }

  /** What is not safe of a file, its name and the folders that lead to it; undefined when all is. @param bytes of the file, else all */
  lacks(path: string, bytes?: number): string | undefined {
    const name = this.#names.get(path)
    if (!name) return `${path} is not there`
    const lacksBytes = this.lacksBytes(path, bytes)
    if (lacksBytes !== undefined) return lacksBytes
    for (let at = path; at.startsWith(`${this.#root}/`); at = dirname(at)) {
      if (this.#names.get(at)?.isSafe === false) return `${at} is a new name in a folder that was not synced`
    }
    return undefined
  }

  /** The same, but for its name. */
  lacksBytes(path: string, bytes?: number): string | undefined {
    const file = this.#names.get(path)?.file
    if (!file || file.synced >= (bytes ?? file.size)) return undefined
    return `${path} has ${bytes ?? file.size} bytes, of which ${file.synced} are synced`
  }

  has(path: string): boolean {
    return this.#names.has(path)
  }

  /** Files of a folder, and below it. */
  within(folder: string): string[] {
    return [...this.#names].filter(([path, { file }]) => file && path.startsWith(`${folder}/`)).map(([path]) => path)
  }

  /** Names that were given or taken by rename, link or unlink, and are not safe. */
  *changedNames(): Generator<string> {
    for (const [path, { isSafe, isMoved }] of this.#names) if (isMoved && !isSafe) yield path
    yield* this.#gone.values()
  }

  /** Goes through a trace; `look` sees each call before what it does. */
  replay(trace: string, look: (call: Call) => void): void {
    for (const line of readFileSync(trace, 'latin1').split('\n')) {
      const [, pid = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)
      if (resumed) {
        const whole = this.#rest.get(pid)
        this.#rest.delete(pid)
        if (whole !== undefined) this.#end(pid, parse(this.#root, pid, `${whole}${resumed[1] ?? ''}`))
        continue
      }
      const unfinished = / <unfinished \.\.\.>$/.exec(text)
      const begun = unfinished ? text.slice(0, unfinished.index) : text
      const call = parse(this.#root, pid, begun)
      if (!call) continue
      look(call)
      this.#begin(call)
      if (unfinished) this.#rest.set(pid, begun)
      else this.#end(pid, call)
    }
  }

  /** What may be on the disk as soon as it is asked for. */
  #begin(call: Call): void {
    const { name, path, to, result, pid } = call
    if (result < 0) return
    if (name === 'fsync' || name === 'fdatasync') this.#begun.set(pid, this.#syncOf(path))
    else if (name === 'rename' || name === 'link') this.#give(path, to, name === 'rename')
    else if (name === 'unlink') this.#take(path)
    // One that is there already: another process was quicker, and how it ends is not known yet.
    else if (name === 'mkdir' && !this.#names.has(path)) this.#names.set(path, { isSafe: false, file: undefined })
  }

  #end(pid: string, call: Call | undefined): void {
    if (!call || call.result < 0) return
    const { name, path, result } = call
    if (name === 'openat' && call.creates) {
      const known = this.#names.get(path)
      if (!known) this.#names.set(path, { isSafe: false, file: { size: 0, synced: 0 } })
      else if (call.truncates && known.file) known.file.size = known.file.synced = 0
    } else if (name === 'write' || name === 'writev' || name === 'pwrite64') {
      const file = this.#names.get(path)?.file
      if (!file) return
      const at = call.position ?? file.size
      file.size = Math.max(file.size, at + result)
      file.synced = Math.min(file.synced, at)
    } else if (name === 'ftruncate') {
      const file = this.#names.get(path)?.file
      if (file) file.size = file.synced = call.position ?? 0
    } else if (name === 'fsync' || name === 'fdatasync') {
      this.#begun.get(pid)?.()
      this.#begun.delete(pid)
    }
  }

  #syncOf(path: string): () => void {
    const file = this.#names.get(path)?.file
    if (file) {
      const { size } = file
      return () => (file.synced = Math.max(file.synced, Math.min(size, file.size)))
    }
    const inside = [...this.#names].filter(([one]) => dirname(one) === path).map(([, name]) => name)
    const gone = [...this.#gone.keys()].filter((one) => dirname(one) === path)
    return () => {
      for (const name of inside) name.isSafe = true
      for (const one of gone) this.#gone.delete(one)
    }
  }

  #give(from: string, to: string, moves: boolean): void {
    const inside = [...this.#names].filter(([path]) => path === from || path.startsWith(`${from}/`))
    for (const [path, name] of inside) {
      const isItself = path === from
      const fresh = isItself ? { file: name.file, isSafe: false, isMoved: true } : name
      this.#names.set(`${to}${path.slice(from.length)}`, fresh)
      if (moves) this.#names.delete(path)
    }
  }

  #take(path: string): void {
    const name = this.#names.get(path)
    this.#names.delete(path)
    // What was never on the disk cannot come back.
    if (name?.isSafe) this.#gone.set(path, `${path} (removed)`)
  }
}

interface Name {
  isSafe: boolean
  readonly isMoved?: boolean
  /** Undefined for a folder. */
  readonly file: { size: number; synced: number } | undefined
}

/** A system call on files. */
export interface Call {
  readonly pid: string
  readonly name: string
  readonly path: string
  /** Of rename and link. */
  readonly to: string
  /** What is written, as far as strace shows it. */
  readonly text: string
  readonly position: number | undefined
  readonly creates: boolean
  readonly truncates: boolean
  /** As if it went well, where that is not known yet. */
  readonly result: number
}

/** `strace -f -y -s 100000` with these calls. */
export const TRACED = 'openat,write,writev,pwrite64,ftruncate,fsync,fdatasync,rename,link,unlink,mkdir'

const STRING = String.raw`"((?:[^"\\]|\\.)*)"(?:\.\.\.)?`

/** @param root the folder that all processes are in */
function parse(root: string, pid: string, text: string): Call | undefined {
  const [, name = '', rest = ''] = /^(\w+)\((.*)$/.exec(text) ?? []
  const result = / = (-?\d+)/.exec(text.slice(text.lastIndexOf(')')))
  const facts = {
    pid,
    to: '',
    text: '',
    position: undefined,
    creates: false,
    truncates: false,
    result: result ? Number(result[1]) : 0,
  }
  const descriptor = /^\d+<((?:[^>\\]|\\.)*)>/.exec(rest)
  if (name === 'openat') {
    const [, cwd = '', path = '', flags = ''] =
      new RegExp(String.raw`^AT_FDCWD(?:<([^>]*)>)?, ${STRING}, ([A-Z_|]+)`).exec(rest) ?? []
    return {
      ...facts,
      name,
      path: resolve(cwd, path),
      creates: flags.includes('O_CREAT'),
      truncates: flags.includes('O_TRUNC'),
    }
  }
  if (name === 'rename' || name === 'link' || name === 'unlink' || name === 'mkdir') {
    const [, path = '', to = ''] = new RegExp(`^${STRING}(?:, ${STRING})?`).exec(rest) ?? []
    return { ...facts, name, path: resolve(root, path), to: resolve(root, to) }
  }
  if (!descriptor) return undefined
  const path = descriptor[1] ?? ''
  if (name === 'write') return { ...facts, name, path, text: stringIn(rest) }
  if (name === 'writev') return { ...facts, name, path }
  if (name === 'pwrite64') {
    const [, count, position] = /, (\d+), (\d+)\)? *(?:=.*)?$/.exec(rest) ?? []
    return {
      ...facts,
      name,
      path,
      text: stringIn(rest),
      position: Number(position),
      result: result ? facts.result : Number(count),
    }
  }
  if (name === 'ftruncate') return { ...facts, name, path, position: Number(/, (\d+)\)/.exec(rest)?.[1]) }
  if (name === 'fsync' || name === 'fdatasync') return { ...facts, name, path }
  return undefined
}

/** The first string of a call's arguments. */
function stringIn(rest: string): string {
  const [, escaped = ''] = new RegExp(STRING).exec(rest) ?? []
  return escaped.replaceAll(/\\(["\\nrt]|[0-7]{1,3})/g, (_, one: string) =>
    /\d/.test(one) ? String.fromCharCode(parseInt(one, 8)) : ({ n: '\n', r: '\r', t: '\t' }[one] ?? one),
  )
}
