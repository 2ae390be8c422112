import type { Env } from '../../src/log/env.ts'
import type { Identity } from '../../src/log/identity.ts'

/**
 * A disk in memory that forgets: writes, truncations and folder entries that were not synced may be lost, torn or re-ordered when the
 * power is cut. Processes on it can be killed before any step, or get an error from it.
 */
class File {
  content: Buffer = Buffer.alloc(0)
  durable: Buffer = Buffer.alloc(0)
  /** Changes since the last sync. */
  pending: Change[] = []
  links = 0
}
type Change = { readonly position: number; readonly bytes: Buffer } | { readonly length: number }
class Folder {
  entries = new Map<string, Node>()
  durable = new Map<string, Node>()
  /** Each is one atomic change of names. */
  pending: (readonly [name: string, node: Node | undefined][])[] = []
}
type Node = File | Folder

/** Thrown when the simulated process dies. It has no `code`, so no error handling of the store takes it for an error of the system. */
export class Crash extends Error {}

const failure = (code: string, path = ''): Error => Object.assign(new Error(`${code}: ${path}`), { code, path })

function applyChange(content: Buffer, change: Change): Buffer {
  if ('length' in change) {
    const cut = Buffer.alloc(change.length)
    content.copy(cut, 0, 0, change.length)
    return cut
  }
  const grown = Buffer.alloc(Math.max(content.length, change.position + change.bytes.length))
  content.copy(grown)
  change.bytes.copy(grown, change.position)
  return grown
}

/** What a power cut leaves of unsynced changes. */
export type PowerCut = 'nothing' | 'everything' | 'some' | 'a beginning'

export class Disk {
  root = new Folder()
  boot = 'boot 1'
  clock = 1_000_000
  readonly living = new Set<number>()
  private pids = 100

  process(fault?: Fault): SimulatedEnv {
    const pid = ++this.pids
    this.living.add(pid)
    return new SimulatedEnv(this, pid, fault)
  }

  /** All processes are gone and the machine starts again with what the disk has. */
  cutPower(what: PowerCut, random: () => number): void {
    this.living.clear()
    this.boot = `boot ${Number(this.boot.slice(5)) + 1}`
    this.root = this.survive(this.root, what, random) as Folder
  }

  private survive(node: Node, what: PowerCut, random: () => number, seen = new Map<Node, Node>()): Node {
    const known = seen.get(node)
    if (known) return known
    const choose = <T>(changes: readonly T[]): T[] => {
      if (what === 'nothing') return []
      if (what === 'everything') return [...changes]
      if (what === 'some') return changes.filter(() => random() < 0.5)
      return changes.slice(0, Math.floor(random() * (changes.length + 1)))
    }
    if (node instanceof File) {
      const file = new File()
      seen.set(node, file)
      let content = node.durable
      for (const change of choose(node.pending)) {
        const torn = what === 'some' && 'bytes' in change && random() < 0.3
        const kept = torn
          ? { ...change, bytes: change.bytes.subarray(0, Math.floor(random() * change.bytes.length)) }
          : change
        content = applyChange(content, kept)
      }
      file.content = file.durable = content
      return file
    }
    const folder = new Folder()
    seen.set(node, folder)
    const names = new Map(node.durable)
    for (const change of choose(node.pending)) {
      for (const [name, child] of change) {
        if (child) names.set(name, child)
        else names.delete(name)
      }
    }
    for (const [name, child] of names) {
      const survivor = this.survive(child, what, random, seen)
      if (survivor instanceof File) survivor.links++
      folder.entries.set(name, survivor)
      folder.durable.set(name, survivor)
    }
    return folder
  }

  /** All files with their content, for comparing and for flipping bits. */
  files(folder: Folder = this.root, path = ''): Map<string, File> {
    const all = new Map<string, File>()
    for (const [name, node] of folder.entries) {
      if (node instanceof File) all.set(`${path}/${name}`, node)
      else for (const [inner, file] of this.files(node, `${path}/${name}`)) all.set(inner, file)
    }
    return all
  }
}

/** What goes wrong, at which of the process's changing steps (from 1). */
export interface Fault {
  readonly step: number
  readonly kind: 'kill' | 'torn 1' | 'torn half' | 'torn n-1' | 'EIO' | 'ENOSPC'
}

export class SimulatedEnv implements Env {
  readonly identity: Identity
  /** Changing steps so far, by name. */
  readonly steps: string[] = []
  private readonly disk: Disk
  private readonly fault: Fault | undefined
  private readonly files = new Map<number, File>()
  private dead = false
  private slept = 0

  constructor(disk: Disk, pid: number, fault?: Fault) {
    this.disk = disk
    this.fault = fault
    this.identity = { pid, start: String(pid), boot: disk.boot, namespace: 'here' }
  }

  kill(): void {
    this.dead = true
    this.disk.living.delete(this.identity.pid)
  }

  /** One changing step; `torn` does a part of it first. */
  private step(name: string, torn?: (part: (length: number) => number) => void, failed?: () => void): void {
    if (this.dead) throw new Crash()
    this.steps.push(name)
    const { fault } = this
    if (!fault || fault.step !== this.steps.length) return
    if (fault.kind === 'EIO' || fault.kind === 'ENOSPC') {
      failed?.()
      throw failure(fault.kind)
    }
    if (fault.kind !== 'kill') {
      const { kind } = fault
      torn?.((length) =>
        kind === 'torn 1' ? Math.min(1, length) : kind === 'torn half' ? length >> 1 : Math.max(0, length - 1),
      )
    }
    this.kill()
    throw new Crash()
  }

  private check(): void {
    if (this.dead) throw new Crash()
  }

  private split(path: string): [folder: Folder, name: string] {
    const parts = path.split('/').filter((part) => part !== '')
    const name = parts.pop() as string
    let at: Folder = this.disk.root
    for (const part of parts) {
      const node = at.entries.get(part)
      if (!node) throw failure('ENOENT', path)
      if (node instanceof File) throw failure('ENOTDIR', path)
      at = node
    }
    return [at, name]
  }
  private find(path: string): Node {
    if (path === '/') return this.disk.root
    const [folder, name] = this.split(path)
    const node = folder.entries.get(name)
    if (!node) throw failure('ENOENT', path)
    return node
  }
  private change(folder: Folder, ...changes: [name: string, node: Node | undefined][]): void {
    for (const [name, node] of changes) {
      const old = folder.entries.get(name)
      if (old instanceof File) old.links--
      if (node) folder.entries.set(name, node)
      else folder.entries.delete(name)
      if (node instanceof File) node.links++
    }
    folder.pending.push(changes)
  }
  private at(fd: number): File {
    this.check()
    const file = this.files.get(fd)
    if (!file) throw failure('EBADF')
    return file
  }

  open(path: string, mode: 'read' | 'write' | 'create'): number {
    this.check()
    const [folder, name] = this.split(path)
    let node = folder.entries.get(name)
    if (mode === 'create') {
      if (node) throw failure('EEXIST', path)
      this.step(`create ${path}`)
      node = new File()
      this.change(folder, [name, node])
    }
    if (!node) throw failure('ENOENT', path)
    if (!(node instanceof File)) throw failure('EISDIR', path)
    // The lowest free number, as the system does: who keeps a closed one writes into somebody else's file.
    let fd = 3
    while (this.files.has(fd)) fd++
    this.files.set(fd, node)
    return fd
  }
  close(fd: number): void {
    this.at(fd)
    this.files.delete(fd)
  }
  read(fd: number, into: Uint8Array, position: number): number {
    return this.at(fd).content.copy(into, 0, position, position + into.length)
  }
  write(fd: number, bytes: Uint8Array, position: number): number {
    const file = this.at(fd)
    const put = (length: number): void => {
      const change = { position, bytes: Buffer.from(bytes.subarray(0, length)) }
      file.content = applyChange(file.content, change)
      file.pending.push(change)
    }
    this.step('write', (part) => put(part(bytes.length)))
    // Now and then the system takes only a part.
    const length = bytes.length > 8 && this.steps.length % 3 === 0 ? bytes.length - 5 : bytes.length
    put(length)
    return length
  }
  truncate(fd: number, length: number): void {
    const file = this.at(fd)
    this.step('truncate')
    file.content = applyChange(file.content, { length })
    file.pending.push({ length })
  }
  sync(fd: number): void {
    const file = this.at(fd)
    // Linux: a failed sync drops the pages' dirty marks, so that a later one succeeds without having written them.
    this.step('sync', undefined, () => (file.pending = []))
    for (const change of file.pending) file.durable = applyChange(file.durable, change)
    file.pending = []
  }
  syncFolder(path: string): void {
    const folder = path === '/' || path === '' ? this.disk.root : this.find(path)
    if (!(folder instanceof Folder)) throw failure('ENOTDIR', path)
    this.step(`sync folder ${path}`)
    folder.durable = new Map(folder.entries)
    folder.pending = []
  }
  stat(fd: number): { length: number; linked: boolean } {
    const file = this.at(fd)
    return { length: file.content.length, linked: file.links > 0 }
  }
  kind(path: string): 'file' | 'folder' | undefined {
    this.check()
    try {
      return this.find(path) instanceof File ? 'file' : 'folder'
    } catch {
      return undefined
    }
  }
  makeFolder(path: string): void {
    this.check()
    const [folder, name] = this.split(path)
    if (folder.entries.has(name)) throw failure('EEXIST', path)
    this.step(`mkdir ${path}`)
    this.change(folder, [name, new Folder()])
  }
  removeFolder(path: string): void {
    const [folder, name] = this.split(path)
    this.step(`rmdir ${path}`)
    this.change(folder, [name, undefined])
  }
  list(path: string): string[] {
    this.check()
    try {
      const node = this.find(path)
      return node instanceof Folder ? [...node.entries.keys()] : []
    } catch {
      return []
    }
  }
  rename(from: string, to: string): void {
    this.check()
    const [source, name] = this.split(from)
    const [target, newName] = this.split(to)
    const node = source.entries.get(name)
    if (!node) throw failure('ENOENT', from)
    if (source !== target) throw new Error('renames stay in their folder')
    this.step(`rename ${to}`)
    this.change(source, [name, undefined], [newName, node])
  }
  link(from: string, to: string): void {
    const node = this.find(from)
    const [folder, name] = this.split(to)
    if (folder.entries.has(name)) throw failure('EEXIST', to)
    this.step(`link ${to}`)
    this.change(folder, [name, node])
  }
  unlink(path: string): void {
    this.check()
    const [folder, name] = this.split(path)
    if (!folder.entries.has(name)) throw failure('ENOENT', path)
    this.step(`unlink ${path}`)
    this.change(folder, [name, undefined])
  }
  now(): number {
    return this.disk.clock++
  }
  sleep(ms: number): void {
    this.check()
    this.disk.clock += ms
    if (++this.slept > 2000) throw new Error('waits for ever')
  }
  alive(other: Identity): 'alive' | 'dead' {
    return other.boot === this.disk.boot && this.disk.living.has(other.pid) ? 'alive' : 'dead'
  }
}
