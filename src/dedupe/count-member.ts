import type { RecordBatch } from '../core/batch.ts'
import type { Problem } from '../core/operator.ts'

const OPEN = 0x7b

/** Why a record cannot get a member "count", if so. @param field that member, in the batch */
export function countProblem({ bytes, spans, stride }: RecordBatch, row: number, field: number): Problem | undefined {
  const at = row * stride
  if (bytes[spans[at]!] !== OPEN) {
    const hint = "make objects of them: beck map '{value: r}' | beck dedupe --by value --count"
    return { problem: 'only objects can get a count', hint }
  }
  if (spans[at + 3 + 2 * field] === 0) return undefined
  return { problem: 'the record has a member "count" already', hint: 'give it another name with beck map' }
}
