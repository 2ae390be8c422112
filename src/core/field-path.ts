import { BeckError } from './errors.ts'

/** A path into a record: member names and array indices, `tags[0].name` → ["tags", 0, "name"]. */
export type FieldPath = readonly [string | number, ...(string | number)[]]

const NAME = /[\p{L}\p{N}_$@-]+/uy

/**
 * Reads `a.b`, `["a.b"]`, `tags[0]`, `a["b c"].d`. A name without quotes may hold letters, digits, `_ $ @ -`.
 * @throws BeckError bad-program
 */
export function parseFieldPath(text: string): FieldPath {
  const { path, end } = scanFieldPath(text, 0)
  if (!path || end !== text.length) {
    throw new BeckError('bad-program', {
      problem: `"${text}" is not a path to a field`,
      hint: 'write user_id, tags.region, tags[0] or ["a name with dots.or spaces"]',
    })
  }
  return path
}

/** Reads the longest path at `at`; `path` is undefined when there is none. */
export function scanFieldPath(text: string, at: number): { path: FieldPath | undefined; end: number } {
  const path: (string | number)[] = []
  for (;;) {
    if (text[at] === '[') {
      const quoted = /\[\s*("(?:[^"\\]|\\.)*"|\d+)\s*\]/y
      quoted.lastIndex = at
      const match = quoted.exec(text)
      if (!match) break
      try {
        path.push(JSON.parse(match[1] as string) as string | number)
      } catch {
        break
      }
      at = quoted.lastIndex
    } else {
      const dotted = path.length > 0
      if (dotted && text[at] !== '.') break
      NAME.lastIndex = dotted ? at + 1 : at
      const match = NAME.exec(text)
      if (!match) break
      path.push(match[0])
      at = NAME.lastIndex
    }
  }
  return { path: path.length > 0 ? (path as unknown as FieldPath) : undefined, end: at }
}

/** The path as the user would write it. */
export function formatFieldPath(path: FieldPath): string {
  return path
    .map((part, index) =>
      typeof part === 'number'
        ? `[${part}]`
        : /^[\p{L}\p{N}_$@-]+$/u.test(part)
          ? index
            ? `.${part}`
            : part
          : `[${JSON.stringify(part)}]`,
    )
    .join('')
}

/** A key field with the name it is printed under: `tags.region` → region, `r=tags.region` → r. */
export interface KeyField {
  readonly name: string
  readonly path: FieldPath
}

/** Reads `--by user_id,tags.region,r=tags.region`, or another option with such a list. @throws BeckError bad-option */
export function parseKeyFields(text: string, option = '--by'): KeyField[] {
  const keys: KeyField[] = []
  for (let at = 0; ; at++) {
    while (text[at] === ' ') at++
    const alias = /([\p{L}\p{N}_$@-]+)\s*=\s*/uy
    alias.lastIndex = at
    const named = alias.exec(text)
    if (named) at = alias.lastIndex
    const { path, end } = scanFieldPath(text, at)
    if (!path) break
    keys.push({ name: named?.[1] ?? String(path[path.length - 1]), path })
    at = end
    while (text[at] === ' ') at++
    if (at === text.length) {
      const twice = keys.find((key, index) => keys.findIndex((other) => other.name === key.name) !== index)
      if (!twice) return keys
      throw new BeckError('bad-option', {
        option,
        problem: `two fields are called "${twice.name}"`,
        hint: `give one another name: ${option} a=${formatFieldPath(twice.path)}`,
      })
    }
    if (text[at] !== ',') break
  }
  throw new BeckError('bad-option', {
    option,
    problem: `"${text}" is not a list of fields`,
    hint: `write ${option} user_id or ${option} path,region=tags.region`,
  })
}

/** Two paths are one field. */
export const samePath = (a: FieldPath, b: FieldPath): boolean =>
  a.length === b.length && a.every((part, index) => part === b[index])

/** A set of fields to extract, each once: `add` returns the field's index in `paths`, which is its index in a batch. */
export class Projection {
  readonly paths: FieldPath[] = []
  add(path: FieldPath): number {
    const known = this.paths.findIndex((other) => samePath(other, path))
    return known >= 0 ? known : this.paths.push(path) - 1
  }

  /** The same set, for who calls fields by the names of some keys. Other fields have no name there. */
  byNames(keys: readonly KeyField[]): Projection {
    return new NamedProjection(this, keys)
  }
}

class NamedProjection extends Projection {
  override readonly paths: FieldPath[]
  readonly #of: Projection
  readonly #keys: readonly KeyField[]

  constructor(of: Projection, keys: readonly KeyField[]) {
    super()
    this.paths = of.paths
    this.#of = of
    this.#keys = keys
  }

  override add(path: FieldPath): number {
    const key = this.#keys.find(({ name }) => samePath([name], path))
    if (!key) throw new Error(`${formatFieldPath(path)} is no key`)
    return this.#of.add(key.path)
  }
}
