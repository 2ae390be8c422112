import { Kind, type RecordBatch } from '../core/batch.ts'
import type { FieldUse, Generated, ShapeMember } from './generate.ts'
import { decodeString, parts, quote, Raw, splice } from './json.ts'
import { get, mayBeSoft, type Components } from './paths.ts'
import { ResultError, serialise } from './serialise.ts'
import { decode, originOf, setOrigin, setOwn } from './values.ts'

const BACKSLASH = '\\'
const OPEN_OBJECT = 0x7b
const QUOTE = 0x22

/**
 * The row at hand, as generated code sees it. Fields are decoded when asked for; what is handed on stays text. `begin` a batch, set `row`,
 * then call the function.
 */
export class Row {
  row = 0
  private readonly uses: (FieldUse | undefined)[] = []
  private readonly shapes: readonly (readonly ShapeMember[])[]
  /** Per shape and member: the finder of `name"`, for records that are spliced. The quote before it is so common that looking for it is slow. */
  private readonly finders: readonly (readonly Finder[])[]
  private readonly escapes = new Finder(BACKSLASH)
  private block = ''
  private ascii = false
  private spans: Uint32Array = new Uint32Array()
  private stride = 2
  private readonly kinds: Uint8Array[] = []
  private readonly values: Float64Array[] = []

  constructor({ fields, shapes }: Pick<Generated, 'fields' | 'shapes'>) {
    for (const use of fields) this.uses[use.field] = use
    this.shapes = shapes
    this.finders = shapes.map((shape) => shape.map(({ prefix }) => new Finder(prefix.slice(1, -1))))
  }

  begin(batch: RecordBatch): void {
    this.block = batch.text()
    this.ascii = batch.ascii
    this.spans = batch.spans
    this.stride = batch.stride
    for (const use of this.uses) {
      if (!use?.numeric) continue
      const column = batch.numbers(use.field)
      this.kinds[use.field] = column.kinds
      this.values[use.field] = column.values
    }
    this.escapes.begin()
    for (const finders of this.finders) for (const finder of finders) finder.begin()
  }

  /** A field's text, "" when it is missing; field -1 is the line. */
  private fieldText(field: number): string {
    const at = this.row * this.stride + 2 + 2 * field
    return this.block.slice(this.spans[at], this.spans[at + 1])
  }

  private lineText(): string {
    return this.fieldText(-1)
  }

  /** A field that is used as a number: from the column when it is one. */
  number(field: number): unknown {
    const value = (this.values[field] as Float64Array)[this.row] as number
    return (this.kinds[field] as Uint8Array)[this.row] === Kind.number && Math.abs(value) <= Number.MAX_SAFE_INTEGER
      ? value
      : this.value(field)
  }

  /** A field's value. @throws SyntaxError when its text is no JSON */
  value(field: number): unknown {
    const text = this.fieldText(field)
    if (text === '') return this.softly(field)
    if (text.charCodeAt(0) === QUOTE && this.ascii && !text.includes(BACKSLASH)) return text.slice(1, -1)
    return decode(text)
  }

  /** Whether a field's value is a BigInt. */
  isBig(field: number): boolean {
    const text = this.fieldText(field)
    return /^-?\d+$/.test(text) && !Number.isSafeInteger(Number(text))
  }

  /** What a path that is no field may still mean: a character of a string, or the length of a record that is no object. */
  private softly(field: number): unknown {
    const use = this.uses[field]
    if (!use || !mayBeSoft(use.path)) return undefined
    if (this.block.charCodeAt(this.spans[this.row * this.stride] as number) !== OPEN_OBJECT)
      return use.path.reduce(get, this.record())
    const { soft } = use
    const from = soft ? this.fieldText(soft.from) : ''
    return soft && (from.charCodeAt(0) === QUOTE || soft.path.length > 1) && from !== ''
      ? soft.path.reduce(get, decode(from))
      : undefined
  }

  /** A field's text, to hand it on. */
  text(field: number): unknown {
    const text = this.fieldText(field)
    return text === '' ? this.softly(field) : new Raw(text)
  }

  /** The record, parsed. */
  record(): unknown {
    return decode(this.lineText())
  }

  /** The record's text, to hand it on. */
  line(): Raw {
    return new Raw(this.lineText())
  }

  /** A member of a parsed record to hand on: as it was spelt, if it is still the same. */
  member(record: unknown, path: Components): unknown {
    let container: unknown = undefined
    let value = record
    for (const part of path) [container, value] = [value, get(value, part)]
    if (typeof value === 'object' && value !== null) return value
    if (typeof container !== 'object' || container === null) return value
    const origin = originOf(container)
    if (!origin) return value
    const last = path.at(-1)
    const index = Array.isArray(container)
      ? Number(last)
      : origin.parts.findLastIndex(({ name }) => name === String(last))
    const part = origin.parts[index]
    return part && Object.is(origin.values[index], value)
      ? new Raw(origin.text.slice(part.valueStart, part.end))
      : value
  }

  /** The parsed record to hand on whole. */
  whole(record: unknown): unknown {
    if (typeof record === 'object' && record !== null) return record
    const text = this.lineText()
    return Object.is(decode(text), record) ? new Raw(text) : record
  }

  /** `{a: …, b: …}` */
  object(shape: number, values: readonly unknown[]): Raw {
    const members = this.shapes[shape] as readonly ShapeMember[]
    let out = ''
    for (let index = 0; index < values.length; index++) {
      const text = this.json(values[index], members[index] as ShapeMember)
      if (text !== undefined) out += (out ? ',' : '{') + (members[index] as ShapeMember).prefix + text
    }
    return new Raw(out ? `${out}}` : '{}')
  }

  private json(value: unknown, { name }: ShapeMember): string | undefined {
    return value instanceof Raw ? value.text : serialise(value, name)
  }

  /** `{...r, a: …, b: …}`: on the line's text, where the spans and a search for the names leave no doubt. */
  spread(shape: number, values: readonly unknown[]): Raw {
    const members = this.shapes[shape] as readonly ShapeMember[]
    const finders = this.finders[shape] as readonly Finder[]
    const { block, spans } = this
    const at = this.row * this.stride
    const start = spans[at] as number
    const end = spans[at + 1] as number
    const texts = values.map((value, index) => this.json(value, members[index] as ShapeMember))
    let sure = block.charCodeAt(start) === OPEN_OBJECT && this.escapes.from(block, start) >= end
    let added = ''
    /** Members that are replaced, in the order of the text. */
    let replaced: { start: number; end: number; text: string }[] | undefined
    for (let index = 0; sure && index < texts.length; index++) {
      const member = members[index] as ShapeMember
      const text = texts[index]
      const finder = finders[index] as Finder
      const found = finder.from(block, start)
      const field = at + 2 + 2 * member.field
      const valueStart = spans[field] as number
      if (valueStart === 0) {
        if (found < end) sure = false
        else if (text !== undefined) added += `,${member.prefix}${text}`
      } else if (text === undefined || found >= valueStart || finder.after(block, found) < end) sure = false
      else (replaced ??= []).push({ start: valueStart, end: spans[field + 1] as number, text })
    }
    if (!sure) {
      const changes: unknown[] = [undefined, new Raw(block.slice(start, end))]
      members.forEach(({ name }, index) => changes.push(name, texts[index] === undefined ? undefined : values[index]))
      return this.build(changes)
    }
    let out = ''
    let from = start
    if (replaced) {
      if (replaced.length > 1) replaced.sort((a, b) => a.start - b.start)
      for (const part of replaced) {
        out += block.slice(from, part.start) + part.text
        from = part.end
      }
    }
    if (!added) return new Raw(out + block.slice(from, end))
    let before = end - 2
    while (block.charCodeAt(before) <= 0x20) before--
    const empty = block.charCodeAt(before) === OPEN_OBJECT
    return new Raw(`${out + block.slice(from, end - 1) + (empty ? added.slice(1) : added)}}`)
  }

  /**
   * An object for JavaScript to go on with: name, value and text (of a field that is handed on) in turn, undefined as the name of what is
   * spread.
   */
  literal(items: readonly unknown[]): object {
    const object = {}
    const texts: unknown[] = []
    let odd = false
    for (let index = 0; index < items.length; index += 3) {
      const name = items[index]
      const value = items[index + 1]
      const text = items[index + 2]
      if (name !== undefined) {
        setOwn(object, String(name), value)
        texts.push(name, text ?? value)
        odd ||= text instanceof Raw && (typeof value !== 'object' || value === null) && !spells(text.text, value)
      } else {
        for (const [member, inner] of Object.entries(value ?? {})) setOwn(object, member, inner)
        texts.push(undefined, value)
        odd ||= typeof value === 'object' && value !== null && originOf(value) !== undefined
      }
    }
    if (odd) {
      try {
        setOrigin(object, this.build(texts).text)
      } catch (error) {
        // What has no JSON may still be computed with: then its spelling is of no use.
        if (!(error instanceof ResultError)) throw error
      }
    }
    return object
  }

  /** An object literal in general: names and values in turn, undefined as the name of what is spread. */
  build(items: readonly unknown[]): Raw {
    let base = '{}'
    const changes = new Map<string, string | undefined>()
    for (let index = 0; index < items.length; index += 2) {
      const name = items[index]
      const value = items[index + 1]
      if (typeof name === 'symbol') continue // as JSON has it
      if (name !== undefined) changes.set(String(name), serialise(value, String(name)))
      else {
        const text = spreadText(value)
        if (index === 0) base = text
        else for (const part of parts(text)) changes.set(part.name, text.slice(part.valueStart, part.end))
      }
    }
    return new Raw(splice(base, changes))
  }
}

/** The text of an object with the members that `...value` gives. */
function spreadText(value: unknown): string {
  if (value instanceof Raw && value.text.startsWith('"')) value = decodeString(value.text)
  if (typeof value === 'string') value = { ...(value as unknown as object) }
  const text = (originless(value) ? serialise({ ...value }) : serialise(value)) ?? ''
  if (text.startsWith('{')) return text
  if (!text.startsWith('[')) return '{}'
  const members = parts(text).map(({ start, end }, index) => `"${index}":${text.slice(start, end)}`)
  return `{${members.filter((_, index) => !Array.isArray(value) || value[index] !== undefined).join(',')}}`
}

/** An object whose own members are what is spread, whatever else it is (a date, a Map). */
const originless = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !(value instanceof Raw) && !Array.isArray(value) && !originOf(value)

/** Whether a scalar would be written like that. */
const spells = (text: string, value: unknown): boolean =>
  typeof value === 'string' ? text === quote(value) : text === String(value)

/** Finds a text in a block, normally from ever later places: then it is one pass over the block in all. */
class Finder {
  private readonly wanted: string
  private at = -1
  private last = 0
  constructor(wanted: string) {
    this.wanted = wanted
  }
  begin(): void {
    this.at = -1
  }
  /** The first place from `start` on; Infinity when there is none. */
  from(block: string, start: number): number {
    if (this.at < start || start < this.last) this.at = find(block, this.wanted, start)
    this.last = start
    return this.at
  }
  /** The next place after one. */
  after(block: string, at: number): number {
    return find(block, this.wanted, at + 1)
  }
}

function find(block: string, wanted: string, from: number): number {
  const at = block.indexOf(wanted, from)
  return at < 0 ? Infinity : at
}
