import { quote } from './json-text.ts'
import type { LineFormat } from './line-decoder.ts'
import { writeBytes, writeEscaped } from './record-writer.ts'

/** Every word as it is: `{"word":"…"}`. Between words is ASCII white space, as for `wc -w` in the C locale. */
export const wordsFormat: LineFormat = {
  encoding: 'latin1',
  text: 'word',
  // A word of one control character and the space behind it.
  growth: 9,
  decode: (line) =>
    line
      .split(/[ \t\v\f\r]+/)
      .filter((word) => word !== '')
      .map((word) => `{"word":${quote(word)}}`),
  decodeBytes(bytes, from, to, out, at) {
    for (let i = from; i < to;) {
      if (isSpace(bytes[i] as number)) {
        i++
        continue
      }
      const start = i
      while (i < to && !isSpace(bytes[i] as number)) i++
      at = writeBytes(AFTER, out, writeEscaped(bytes, start, i, out, writeBytes(BEFORE, out, at)))
    }
    return at
  },
}
const BEFORE = Buffer.from('{"word":"')
const AFTER = Buffer.from('"}\n')

const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13)
