import { BeckError } from '../core/errors.ts'
import { memberStarts, infer, quote } from './json-text.ts'
import type { LineFormat } from './line-decoder.ts'

/**
 * Lines by a regular expression of the user's: its named groups are the members, in order; one that takes no part in the match is null.
 * @throws BeckError bad-program
 */
export function regexFormat(pattern: string, inferred: boolean): LineFormat {
  let expression: RegExp
  try {
    // "u", so that a group can never end in the middle of a character.
    expression = new RegExp(pattern, 'u')
  } catch (error) {
    const python = pattern.includes('(?P<')
    throw new BeckError('bad-program', {
      problem: (error as Error).message,
      hint: python
        ? 'named groups are written (?<name>…), without the P'
        : "name each part: beck from regex '^(?<level>\\w+): (?<message>.*)$' FILE",
    })
  }
  // With an empty alternative every expression matches "", which tells the names of its groups.
  const names = Object.keys(new RegExp(`${pattern}|`, 'u').exec('')?.groups ?? {})
  if (names.length === 0) {
    throw new BeckError('bad-program', {
      problem: 'the pattern has no named groups, so the records would be empty',
      hint: "name each part: beck from regex '^(?<level>\\w+): (?<message>.*)$' FILE",
    })
  }
  const starts = memberStarts(names)
  const value = inferred ? infer : quote
  return {
    encoding: 'utf8',
    decode(line) {
      const groups = expression.exec(line)?.groups
      if (!groups) return { problem: 'the line does not match the pattern', column: 1 }
      let record = ''
      for (const [index, name] of names.entries()) {
        const text = groups[name]
        record += `${starts[index]}${text === undefined ? 'null' : value(text)}`
      }
      return `${record}}`
    },
  }
}
