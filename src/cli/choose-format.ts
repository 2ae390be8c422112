import { BeckError } from '../core/errors.ts'
import { suggest } from '../core/suggest.ts'

/**
 * The format called `name`, if it knows all of the options.
 * @throws BeckError usage, bad-option
 */
export function chooseFormat<Format extends { readonly options: readonly string[] }>(
  command: string,
  formats: Readonly<Record<string, Format>>,
  name: string,
  options: Readonly<Record<string, unknown>>,
): Format {
  const names = Object.keys(formats)
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined
  if (!format) {
    const suggestion = suggest(name, names)
    throw new BeckError('usage', {
      problem: `there is no format "${name}"`,
      suggestion,
      hint: suggestion ? undefined : `the formats are ${names.join(', ')}`,
    })
  }
  const wrong = Object.keys(options).find((option) => !format.options.includes(option))
  if (wrong === undefined) return format
  const others = names.filter((other) => formats[other]?.options.includes(wrong))
  throw new BeckError('bad-option', {
    option: `--${wrong}`,
    problem: `${name} has no such option`,
    hint: `it belongs to ${others.join(', ')}: see beck ${command} --help`,
  })
}
