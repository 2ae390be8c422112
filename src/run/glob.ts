import { readdirSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

/**
 * The files that a shell's pattern names, in the order of their bytes; undefined when there are none. `*`, `?` and `[…]` stand for characters
 * other than "/", a backslash takes their meaning away, and a leading dot must be written. A path that
 * is not absolute begins at `base`. Costs a listing of each folder on the way.
 */
export function expandGlob(pattern: string, base = '.'): string[] | undefined {
  const absolute = pattern.startsWith('/')
  const parts = pattern.split('/').filter((part) => part !== '')
  let found = [absolute ? '/' : '']
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1
    found = found.flatMap((folder) => {
      const names = /(?<!\\)(?:\\\\)*[*?[]/.test(part)
        ? matching(resolve(base, folder), part)
        : [part.replace(/\\(.)/g, '$1')]
      return names
        .map((name) => (folder === '' || folder === '/' ? folder : `${folder}/`) + name)
        .filter((path) => exists(resolve(base, path), !last))
    })
  }
  return found.length > 0 ? found : undefined
}

function matching(folder: string, part: string): string[] {
  const expression = new RegExp(`^${part.replace(/\\.|\[!?[^\]]+\]|[\s\S]/g, toRegExp)}$`, 'su')
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    return [] // as a shell: what cannot be listed has no names
  }
  return names
    .filter((name) => expression.test(name) && (part.startsWith('.') || !name.startsWith('.')))
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

function toRegExp(piece: string): string {
  if (piece === '*') return '.*'
  if (piece === '?') return '.'
  if (piece.length > 1 && piece.startsWith('[')) return piece.replace(/^\[!/, '[^').replaceAll('\\', '\\\\')
  return (piece.startsWith('\\') ? piece.slice(1) : piece).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

function exists(path: string, folder: boolean): boolean {
  try {
    return !folder || statSync(path).isDirectory()
  } catch {
    return false
  }
}
