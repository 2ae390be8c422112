import type { RecordBatch } from '../core/batch.ts'
import { formatFieldPath, type FieldPath } from '../core/field-path.ts'
import type { StageContext } from '../core/operator.ts'
import type { Encoder } from '../core/spec.ts'
import { quote } from './json-text.ts'
import type { LineFormat } from './line-decoder.ts'
import { writeBytes, writeEscaped } from './record-writer.ts'
import { isEncodable, plainText } from './members.ts'

/** Every line as it is, blank ones too: `{"line":"…"}`. */
export const linesFormat: LineFormat = {
  encoding: 'latin1',
  blankLines: true,
  text: 'line',
  decode: (line) => `{"line":${quote(line)}}`,
  decodeBytes: (bytes, from, to, out, at) =>
    writeBytes(AFTER, out, writeEscaped(bytes, from, to, out, writeBytes(BEFORE, out, at))),
}
const BEFORE = Buffer.from('{"line":"')
const AFTER = Buffer.from('"}\n')

/** One field (the stage's only one) of each record on a line: strings as they are, other values as JSON. */
export class LinesEncoder implements Encoder {
  private readonly path: FieldPath
  private readonly context: StageContext
  private readonly shown: (text: string) => string

  /** `shown`: what is done to a text before it goes to a terminal. */
  constructor(path: FieldPath, shown: (text: string) => string, context: StageContext) {
    this.path = path
    this.shown = shown
    this.context = context
  }

  processBatch(batch: RecordBatch, write: (text: Uint8Array) => void): void {
    const { spans, stride } = batch
    const all = batch.text()
    let text = ''
    for (let row = 0; row < batch.count; row++) {
      const end = spans[row * stride + 3] as number
      const raw = all.slice(spans[row * stride + 2], end)
      if (end > 0 && isEncodable(raw)) {
        text += `${this.shown(raw === 'null' ? raw : (plainText(raw) as string))}\n`
        continue
      }
      write(Buffer.from(text, 'latin1'))
      text = ''
      const name = formatFieldPath(this.path)
      this.context.reject(batch, row, {
        problem:
          end > 0
            ? `half a character (a lone surrogate) in "${name}", which is no text`
            : `there is no field "${name}"`,
        hint:
          end > 0
            ? 'keep such records apart with --dead-letter FILE'
            : `leave such records out: beck filter 'r${accessor(this.path)} !== undefined'`,
      })
    }
    write(Buffer.from(text, 'latin1'))
  }
}

/** The path in an expression: `.a["b c"][0]`. */
const accessor = (path: FieldPath): string =>
  path
    .map((part) =>
      typeof part === 'string' && /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(part)
        ? `.${part}`
        : `[${JSON.stringify(part)}]`,
    )
    .join('')
