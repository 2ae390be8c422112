import { BeckError } from '../core/errors.ts'
import { suggest } from '../core/suggest.ts'

/**
 * What stands under a name that people have typed.
 * @param kind what it is, in the error: `action`, `format`
 * @throws BeckError usage
 */
export function choose<Entry>(kind: string, entries: Readonly<Record<string, Entry>>, name: string): Entry {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined
  if (entry !== undefined) return entry
  const names = Object.keys(entries)
  const suggestion = suggest(name, names)
  throw new BeckError('usage', {
    problem: `there is no ${kind} "${name}"`,
    suggestion,
    hint: suggestion ? undefined : `the ${kind}s are ${names.join(', ')}`,
  })
}
