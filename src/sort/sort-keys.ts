import { BeckError } from '../core/errors.ts'
import { type FieldPath, parseFieldPath } from '../core/field-path.ts'

/** What to sort by: a field, upwards or downwards. */
export interface SortKey {
  readonly path: FieldPath
  readonly descending: boolean
}

/** Reads `--by origin,-count,tags.region`, or another option with such a list. @throws BeckError bad-option */
export function parseSortKeys(text: string, option = '--by'): SortKey[] {
  // Commas inside ["…"] belong to a name.
  const items = text.split(/,(?=(?:[^"]*"(?:[^"\\]|\\.)*")*[^"]*$)/)
  return items.map((item) => {
    const word = item.trim()
    const descending = word.startsWith('-')
    try {
      return { path: parseFieldPath(descending ? word.slice(1).trim() : word), descending }
    } catch (error) {
      throw new BeckError(
        'bad-option',
        { option, problem: `"${text}" is not a list of keys`, hint: `write ${option} origin,-count` },
        { cause: error },
      )
    }
  })
}
