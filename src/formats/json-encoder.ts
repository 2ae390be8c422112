import type { RecordBatch } from '../core/batch.ts'
import type { StageContext } from '../core/operator.ts'
import type { Encoder } from '../core/spec.ts'
import { LineChecker } from '../ndjson/line.ts'
import { skipSpace, stringEnd } from './members.ts'

const EMIT_CHARS = 64 * 1024

/**
 * All records as one array, each on its line(s). Records keep their bytes; `pretty` changes the white space between their parts and nothing
 * else. Each record is checked whole: one bad one would spoil the document.
 */
export class JsonEncoder implements Encoder {
  private readonly pretty: boolean
  private readonly context: StageContext
  private readonly checker = new LineChecker([])
  private readonly span = new Uint32Array(2)
  private begun = false

  constructor(pretty: boolean, context: StageContext) {
    this.pretty = pretty
    this.context = context
  }

  processBatch(batch: RecordBatch, write: (text: Uint8Array) => void): void {
    const { spans, stride, bytes } = batch
    const all = batch.text()
    let text = ''
    const flush = (): void => {
      if (text !== '') write(Buffer.from(text, 'latin1'))
      text = ''
    }
    for (let row = 0; row < batch.count; row++) {
      const start = spans[row * stride] as number
      const end = spans[row * stride + 1] as number
      const problem = this.checker.check(bytes, start, end, this.span, 0)
      if (problem) {
        flush()
        this.context.reject(batch, row, problem)
        continue
      }
      const record = all.slice(start, end)
      text += (this.begun ? ',\n' : '[\n') + (this.pretty ? `  ${prettyJson(record)}` : record)
      this.begun = true
      if (text.length > EMIT_CHARS) flush()
    }
    flush()
  }

  onEnd(write: (text: Uint8Array) => void): void {
    write(Buffer.from(this.begun ? '\n]\n' : '[]\n'))
  }
}

/** Checked JSON with two spaces a level, from the second line on one level in; every token as it is spelt. */
function prettyJson(json: string): string {
  let text = ''
  let indent = '\n  '
  let from = 0
  for (let at = 0; at < json.length; at++) {
    const char = json[at] as string
    if (char === '"') at = stringEnd(json, at) - 1
    else if (!' \t\r{}[],:'.includes(char)) continue
    else {
      text += json.slice(from, at)
      if (char === '{' || char === '[') {
        const next = skipSpace(json, at + 1)
        if (json[next] === '}' || json[next] === ']') {
          text += char + (json[next] as string)
          at = next
        } else {
          indent += '  '
          text += char + indent
        }
      } else if (char === '}' || char === ']') {
        indent = indent.slice(0, -2)
        text += indent + char
      } else if (char === ',') text += char + indent
      else if (char === ':') text += ': '
      from = at + 1
    }
  }
  return text + json.slice(from)
}
