import { quote } from './json-text.ts'
import type { LineFormat } from './line-decoder.ts'

/** Every line as it is, blank ones too: `{"line":"…"}`. */
export const linesFormat: LineFormat = {
  encoding: 'latin1',
  blankLines: true,
  decode: (line) => `{"line":${quote(line)}}`,
}
