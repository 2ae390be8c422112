import { BeckError } from '../core/errors.ts'
import { formatFieldPath, samePath, scanFieldPath, type FieldPath } from '../core/field-path.ts'

/** One part of the key of a join: where it is on both sides. */
export interface JoinKey {
  readonly left: FieldPath
  readonly right: FieldPath
}

/** Reads `--on user_id,tags.region=region`. @throws BeckError bad-option */
export function parseOn(text: string): JoinKey[] {
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
    option: '--on',
    problem: `"${text}" is not a list of keys`,
    hint: 'write --on user_id, or --on user_id=id where the names differ, or --on user_id,region=tags.region',
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

/** `user_id = id`, for messages. */
export const formatOn = (keys: readonly JoinKey[]): string =>
  keys.map(({ left, right }) => `${formatFieldPath(left)} = ${formatFieldPath(right)}`).join(', ')
