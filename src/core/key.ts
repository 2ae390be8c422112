/** What nearly every key is: its own canonical text, as it stands (latin1 too). */
export const PLAIN_KEY = /^(?:"[^"\\]*"|0|-?[1-9]\d{0,14}|-?(?:0|[1-9]\d{0,6})\.\d{0,7}[1-9]|true|false|null)$/

/**
 * Canonical text of a JSON value: two values are equal as keys exactly when their canonical texts are the same. Numbers by exact value
 * (1 = 1.0 = 10e-1, -0 = 0), strings by content, objects whatever their member order and with the last of duplicate names.
 * The text is JSON again, without white space, line ends or raw control characters, and is its own canonical text.
 *
 * `json` must be valid JSON, decoded (not a latin1 string). Linear in its length but for sorting members; an exponent costs its digits,
 * never its size.
 */
export function canonicalKey(json: string): string {
  if (PLAIN_KEY.test(json)) return json
  return new Reader(json).value()
}

class Reader {
  private readonly json: string
  private at = 0
  constructor(json: string) {
    this.json = json
  }

  /** Recursive: a line's depth is limited where it was validated. */
  value(): string {
    this.skipSpace()
    const first = this.json[this.at]
    if (first === '"') return canonicalString(this.token(STRING))
    if (first === '[') {
      const elements: string[] = []
      this.list(']', () => elements.push(this.value()))
      return `[${elements.join(',')}]`
    }
    if (first === '{') {
      const members = new Map<string, string>()
      this.list('}', () => {
        this.skipSpace()
        const name = canonicalString(this.token(STRING))
        this.skipSpace()
        this.at++ // the colon
        members.set(name, this.value())
      })
      const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1))
      return `{${sorted.map(([name, value]) => `${name}:${value}`).join(',')}}`
    }
    const token = this.token(SCALAR)
    return /^[tfn]/.test(token) ? token : canonicalNumber(token)
  }

  private list(close: string, item: () => void): void {
    this.at++
    this.skipSpace()
    while (this.json[this.at] !== close) {
      item()
      this.skipSpace()
      if (this.json[this.at] === ',') this.at++
    }
    this.at++
  }

  private token(pattern: RegExp): string {
    pattern.lastIndex = this.at
    const text = pattern.exec(this.json)?.[0] ?? ''
    if (!text) throw new Error(`not JSON at ${this.at}: ${this.json.slice(0, 100)}`)
    this.at += text.length
    return text
  }

  private skipSpace(): void {
    SPACE.lastIndex = this.at
    SPACE.test(this.json)
    this.at = SPACE.lastIndex
  }
}

const SPACE = /[ \t\r\n]*/y
const STRING = /"(?:[^"\\]|\\.)*"/y
const SCALAR = /[-+.\w]+/y

/** One spelling per content. `JSON.stringify` keeps lone surrogates as escapes and all others but control characters, " and \ as they are. */
const canonicalString = (text: string): string => (text.includes('\\') ? JSON.stringify(JSON.parse(text)) : text)

/** As one writes it with up to 15 digits before or behind the point (1200, -0.05); else the digits without zeros at the ends, "e" and the power of ten. */
export function canonicalNumber(text: string): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text)
  if (!match) throw new Error(`not a JSON number: ${text}`)
  const [, sign = '', whole = '', fraction = '', written = '0'] = match
  const all = whole + fraction
  let from = 0
  while (all[from] === '0') from++
  let to = all.length
  while (to > from && all[to - 1] === '0') to--
  const digits = all.slice(from, to)
  if (!digits) return '0'
  const exponentText = written.replace(/^\+?(-?)0*(?=\d)/, '$1')
  const shift = all.length - to - fraction.length
  // Nothing is computed with the exponent but its sum with a shift, so that 1e999999999999 costs no more than its digits.
  const exponent = exponentText.length < 16 ? Number(exponentText) + shift : BigInt(exponentText) + BigInt(shift)
  if (typeof exponent === 'number' && exponent >= 0 && digits.length + exponent <= 15) {
    return sign + digits + '0'.repeat(exponent)
  }
  if (typeof exponent === 'number' && exponent < 0 && exponent >= -15 && digits.length <= 15) {
    const padded = digits.padStart(1 - exponent, '0')
    return `${sign}${padded.slice(0, exponent)}.${padded.slice(exponent)}`
  }
  return `${sign}${digits}e${exponent}`
}
