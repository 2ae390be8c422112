import { Kind, type RecordBatch } from '../core/batch.ts'
import { formatFieldPath, parseFieldPath, type FieldPath, type Projection } from '../core/field-path.ts'
import type { Collector, Operator } from '../core/operator.ts'
import type { Expression } from './index.ts'

const bits = (...kinds: readonly Kind[]): number => kinds.reduce<number>((set, kind) => set | (1 << kind), 0)
const ABSENT = bits(Kind.missing, Kind.null)
const SCALARS = bits(Kind.false, Kind.true, Kind.number, Kind.string)

/** What a field holds in records that may be dropped early, by the word for it. */
const FITS = {
  /** Nothing: what has it may be refused by a stage in between. */
  missing: bits(Kind.missing),
  /** What no aggregate of numbers refuses. */
  number: ABSENT | bits(Kind.number),
  /** What need not be parsed to be known as well-formed. */
  plain: ABSENT | SCALARS | bits(Kind.big),
  /**
   * A key that a filter behind the groups judges as it would judge every record of the group: a missing one is printed as null, a number may be
   * printed in another spelling, and objects that are equal have texts that are not.
   */
  key: SCALARS,
} as const
export type Fit = keyof typeof FITS

/** One of those, as an option of a command line that nobody writes: `key tags.region`. */
export const guardText = (fit: Fit, path: FieldPath): string => `${fit} ${formatFieldPath(path)}`

interface Guard {
  readonly fit: Fit
  readonly field: number
}

/** What `guardText` gave; adds the fields to a projection. */
export const parseGuards = (texts: readonly string[], projection: Projection): readonly Guard[] =>
  texts.map((text) => {
    const space = text.indexOf(' ')
    return { fit: text.slice(0, space) as Fit, field: projection.add(parseFieldPath(text.slice(space + 1))) }
  })

/**
 * A filter of the planner's making, before the place where it was written (src/run/rewrite.ts). It drops what the written one is sure to drop, and nothing
 * that a stage in between might refuse; all else goes on, and is decided where it was to be.
 */
export class Sift {
  readonly #expression: Expression
  readonly #guards: readonly Guard[]

  constructor(expression: Expression, guards: readonly Guard[]) {
    this.#expression = expression
    this.#guards = guards
  }

  /** Per row 0 what is dropped, else 1. A view, valid until the next call. */
  test(batch: RecordBatch): Uint8Array {
    const mask = this.#expression.test(batch, 0)
    for (const row of this.#expression.problems.keys()) mask[row] = 1
    for (const { fit, field } of this.#guards) {
      if (!mask.includes(0)) break
      const kinds = fit === 'number' ? batch.decimals(field).kinds : batch.kinds(field)
      const fits = FITS[fit]
      let numbers = false
      for (let row = 0; row < mask.length; row++) {
        if (mask[row] !== 0) continue
        const kind = kinds[row] as Kind
        if (((fits >>> kind) & 1) === 0) mask[row] = 1
        else if (kind === Kind.number) numbers = true
      }
      if (fit === 'key' && numbers) passUnsafe(batch, field, mask)
    }
    return mask
  }
}

/** Whether a whole number of that size is BigInt or not depends on how it is spelt. */
function passUnsafe(batch: RecordBatch, field: number, mask: Uint8Array): void {
  const { kinds, values } = batch.numbers(field)
  for (let row = 0; row < mask.length; row++) {
    const kind = kinds[row]
    const unsafe = kind === Kind.number && !(Math.abs(values[row] as number) < Number.MAX_SAFE_INTEGER)
    if (unsafe || kind === Kind.big) mask[row] = 1
  }
}

/** A sift as a stage of its own. */
export class SiftOperator implements Operator {
  readonly #sift: Sift
  constructor(sift: Sift) {
    this.#sift = sift
  }
  processBatch(batch: RecordBatch, out: Collector): void {
    out.forward(batch, this.#sift.test(batch))
  }
}
