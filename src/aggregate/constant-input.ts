import { type DecimalColumn, Kind, type RecordBatch } from '../core/batch.ts'
import { parseDecimal } from '../core/decimal.ts'
import { toLatin1 } from '../core/latin1.ts'
import type { Input, Values } from './aggregate.ts'
import { kindOf, MapValues } from './inputs.ts'

/** The same JSON value in every row. */
export class ConstantInput implements Input {
  readonly id: string
  readonly #text: string
  #values: Values | undefined

  constructor(id: string, json: string) {
    this.id = id
    this.#text = toLatin1(json)
  }

  kinds({ count }: RecordBatch): Uint8Array {
    return new Uint8Array(count).fill(kindOf(this.#text))
  }
  decimals(batch: RecordBatch): DecimalColumn {
    const kinds = this.kinds(batch)
    const mantissas = new Float64Array(batch.count)
    const scales = new Uint8Array(batch.count)
    if (kindOf(this.#text) === Kind.number) {
      const value = parseDecimal(this.#text)
      if (value && value.scale >= 0 && value.scale <= 22 && Number.isSafeInteger(Number(value.mantissa))) {
        mantissas.fill(Number(value.mantissa))
        scales.fill(value.scale)
      } else kinds.fill(Kind.big)
    }
    return { kinds, mantissas, scales }
  }
  text(): string {
    return this.#text
  }
  values(): Values {
    return (this.#values ??= new MapValues(this))
  }
}
