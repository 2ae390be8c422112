import { type DecimalColumn, Kind, type RecordBatch } from '../core/batch.ts'
import { parseDecimal } from '../core/decimal.ts'
import { latin1 } from '../core/latin1.ts'
import type { Problem } from '../core/operator.ts'
import type { Expression } from '../expression/index.ts'
import type { Input, Values } from './aggregate.ts'
import { kindOf, MapValues } from './inputs.ts'

/** Something that is computed for all rows once a batch, before anything is added. */
export interface Computed {
  begin(batch: RecordBatch, firstIndex: number): void
  /** The rows for which that failed. They matter only where the row counts. */
  readonly problems: ReadonlyMap<number, Problem>
}

/** The `where` of an aggregate. */
export class Condition implements Computed {
  readonly #expression: Expression
  /** Per row of the batch 1 where it holds. */
  mask: Uint8Array = new Uint8Array(0)
  problems: ReadonlyMap<number, Problem> = new Map()

  constructor(expression: Expression) {
    this.#expression = expression
  }

  begin(batch: RecordBatch, firstIndex: number): void {
    this.mask = this.#expression.test(batch, firstIndex)
    this.problems = this.#expression.problems
  }
}

/** The values of an expression. */
export class ExpressionInput implements Input, Computed {
  readonly id: string
  readonly #expression: Expression
  #texts: readonly (string | undefined)[] = []
  #kinds: Uint8Array = new Uint8Array(0)
  #decimals: DecimalColumn | undefined
  problems: ReadonlyMap<number, Problem> = new Map()

  constructor(id: string, expression: Expression) {
    this.id = id
    this.#expression = expression
  }

  begin(batch: RecordBatch, firstIndex: number): void {
    this.#texts = this.#expression.texts(batch, firstIndex)
    this.problems = this.#expression.problems
    this.#kinds = Uint8Array.from(this.#texts, (text) => kindOf(text ?? ''))
    this.#decimals = undefined
  }

  kinds(): Uint8Array {
    return this.#kinds
  }

  decimals(): DecimalColumn {
    return (this.#decimals ??= decimalsOf(this.#texts, this.#kinds))
  }

  text(_batch: RecordBatch, row: number): string {
    const text = this.#texts[row] ?? ''
    // A longer piece of a string is a view that would keep all of it, the whole block: copy.
    return text.length < 13 ? text : latin1(Buffer.from(text, 'latin1'))
  }

  values(): Values {
    return new MapValues(this)
  }
}

function decimalsOf(texts: readonly (string | undefined)[], kinds: Uint8Array): DecimalColumn {
  const column = {
    kinds: kinds.slice(),
    mantissas: new Float64Array(texts.length),
    scales: new Uint8Array(texts.length),
  }
  for (let row = 0; row < texts.length; row++) {
    if (kinds[row] === Kind.number) setDecimal(column, row, texts[row]!)
  }
  return column
}

/** Reads a number into a column, or calls it big. */
export function setDecimal({ kinds, mantissas, scales }: DecimalColumn, row: number, text: string): void {
  const whole = Number(text)
  if (text.length < 16 && Number.isSafeInteger(whole)) {
    mantissas[row] = whole
    return
  }
  const value = parseDecimal(text)
  // A negative scale is made 0: 1e3 is 1000.
  const mantissa = value && (value.scale < 0 ? value.mantissa * 10n ** BigInt(-value.scale) : value.mantissa)
  if (value && value.scale <= 22 && mantissa! <= MOST && mantissa! >= -MOST) {
    mantissas[row] = Number(mantissa)
    scales[row] = Math.max(0, value.scale)
  } else kinds[row] = Kind.big
}

const MOST = 2n ** 53n
