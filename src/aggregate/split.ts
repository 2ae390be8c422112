/**
 * Splits at a character that stands outside brackets and quotes, as JavaScript has them: for lists of aggregates, whose arguments and
 * conditions are JavaScript. `splitOutside('f(a), b', ',')` → `['f(a)', ' b']`.
 */
export function splitOutside(text: string, separator: string): string[] {
  const parts: string[] = []
  let depth = 0
  let start = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (char === separator && depth === 0) {
      parts.push(text.slice(start, at))
      start = at + 1
    } else if ('([{'.includes(char)) depth++
    else if (')]}'.includes(char)) depth--
    else if (`"'\``.includes(char)) at = endOfQuote(text, at)
  }
  parts.push(text.slice(start))
  return parts
}

/** The closing quote of the one at `at`, or the end. */
function endOfQuote(text: string, at: number): number {
  const quote = text[at]
  for (at++; at < text.length && text[at] !== quote; at++) if (text[at] === '\\') at++
  return at
}
