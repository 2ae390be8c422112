import { BeckError } from '../core/errors.ts'
import { choose } from './choose.ts'

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
  const format = choose('format', formats, name)
  const wrong = Object.keys(options).find((option) => !format.options.includes(option))
  if (wrong === undefined) return format
  const others = Object.keys(formats).filter((other) => formats[other]?.options.includes(wrong))
  throw new BeckError('bad-option', {
    option: `--${wrong}`,
    problem: `${name} has no such option`,
    hint: `it belongs to ${others.join(', ')}: see beck ${command} --help`,
  })
}
