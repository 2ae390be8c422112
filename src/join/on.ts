import { BeckError } from '../core/errors.ts'
import { samePath, scanFieldPath, type FieldPath } from '../core/field-path.ts'

/** One part of the key of a join: where it is on both sides. */
export interface JoinKey {
  readonly left: FieldPath
  readonly right: FieldPath
}

/** Reads `user_id,tags.region=region`, the value of `option`. @throws BeckError bad-option */
export function parseOn(text: string, option: string): JoinKey[] {
  const keys: JoinKey[] = []
  let at = 0
  const path = (): FieldPath | undefined => {
    while (text[at] === ' ') at++
    const found = scanFieldPath(text, at)
    at = found.end
    while (text[at] === ' ') at++
    return found.path
  }
  for (;;) {
    const left = path()
    if (!left) break
    let right: FieldPath | undefined = left
    if (text[at] === '=') {
      at++
      right = path()
      if (!right) break
    }
    keys.push({ left, right })
    if (at === text.length) return keys
    if (text[at++] !== ',') break
  }
  throw new BeckError('bad-option', {
    option,
    problem: `"${text}" is not a list of fields`,
    hint: `write ${option} user_id, or ${option} user_id=id where the names differ`,
  })
}

/**
 * The members of a right record that say again what the left one has said: keys of the same name on both sides. They are left out of
 * joined records, as SQL's USING does.
 */
export function repeatedKeys(keys: readonly JoinKey[]): Set<string> {
  return new Set(
    keys.filter(({ left, right }) => left.length === 1 && samePath(left, right)).map(({ left }) => String(left[0])),
  )
}
