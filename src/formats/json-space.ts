/** The white space between the tokens of JSON. */

/** Calls `visit` for each byte of white space outside strings. */
function eachSpace(json: Buffer, visit: (at: number) => void): void {
  let inString = false
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === QUOTE) inString = !inString
    else if (byte === BACKSLASH && inString) at++
    else if (!inString && (byte === SPACE || byte === LF || byte === CR || byte === TAB)) visit(at)
  }
}

/** The same with spaces for the line breaks outside strings, so that it can be checked as a line and places stay the same. */
export function onOneLine(json: Buffer): Buffer {
  const line = Buffer.from(json)
  eachSpace(json, (at) => (line[at] = SPACE))
  return line
}

/** Without white space outside strings. */
export function compact(json: Buffer): Buffer {
  const compacted = Buffer.allocUnsafe(json.length)
  let length = 0
  let from = 0
  const copy = (to: number): void => {
    length += json.copy(compacted, length, from, to)
  }
  eachSpace(json, (at) => {
    copy(at)
    from = at + 1
  })
  copy(json.length)
  return compacted.subarray(0, length)
}

const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const QUOTE = 34
const BACKSLASH = 92
