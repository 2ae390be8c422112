/**
 * Random NDJSON, made to be hard on a scanner: wanted names as parts of others and as values, odd white space, escapes, brackets and
 * quotes in strings, numbers at the limits of doubles, lines shorter and longer than a chunk of 64 bytes. Fast, and repeatable by seed.
 */
export class JsonLines {
  private seed: number
  constructor(seed: number) {
    this.seed = seed | 1
  }

  /** 0 .. n-1. (xorshift32: George Marsaglia, 2003) */
  below(n: number): number {
    this.seed ^= this.seed << 13
    this.seed ^= this.seed >>> 17
    this.seed ^= this.seed << 5
    return (this.seed >>> 0) % n
  }
  private one<Item>(items: ArrayLike<Item>): Item {
    return items[this.below(items.length)] as Item
  }

  /** `duplicates`: members of one object may have one name. */
  line(duplicates: boolean): string {
    if (this.below(40) === 0) return this.one(['', ' ', '\t \r', '[1,{"a":2}]', '"a"', '1', 'null', ' {} '])
    return this.pad() + this.object(0, duplicates) + this.pad() + (this.below(20) === 0 ? '\r' : '')
  }

  private pad(): string {
    return this.below(12) === 0 ? this.one([' ', '  ', '\t', ' \r ']) : ''
  }

  private object(depth: number, duplicates: boolean): string {
    const members: string[] = []
    const names = new Set<string>()
    for (let i = this.below(depth ? 4 : 8); i > 0; i--) {
      const name = this.one(NAMES)
      const plain = JSON.parse(name) as string
      if (!duplicates && names.has(plain)) continue
      names.add(plain)
      members.push(`${this.pad()}${name}${this.pad()}:${this.pad()}${this.value(depth + 1, duplicates)}${this.pad()}`)
    }
    return `{${members.join(',') || this.pad()}}`
  }

  private value(depth: number, duplicates: boolean): string {
    switch (this.below(depth > 4 ? 7 : 10)) {
      case 0:
      case 1:
        return this.one(NUMBERS)
      case 2:
        return String(this.below(1e6) / this.one([1, 10, 1000]))
      case 3:
        return this.one(['true', 'false', 'null'])
      case 4:
      case 5:
        return this.one(STRINGS)
      case 6:
        return `"${'x'.repeat(this.below(90))}${this.one(['', '\\\\', '\\"', '\\n', 'é', '}', '{'])}"`
      case 7:
        return `[${Array.from({ length: this.below(4) }, () => this.pad() + this.value(depth + 1, duplicates)).join(',')}${this.pad()}]`
      default:
        return this.object(depth, duplicates)
    }
  }

  /** Changes `edits` places of the text: bytes are replaced, put in or taken out. */
  mutate(bytes: Buffer, edits: number): Buffer {
    const parts: Uint8Array[] = []
    const places = Array.from({ length: edits }, () => this.below(bytes.length + 1)).sort((a, b) => a - b)
    let from = 0
    for (const place of places) {
      if (place < from) continue
      parts.push(bytes.subarray(from, place), Buffer.from([this.one(HARD_BYTES)]).subarray(this.below(4) === 0 ? 1 : 0))
      from = place + this.below(3)
    }
    parts.push(bytes.subarray(from))
    return Buffer.concat(parts)
  }
}

/** In JSON; `\u0061` is an `a` in disguise. */
const NAMES =
  String.raw`"a" "a" "b" "c" "aa" "ba" "path" "x.path" "long_name_of_a_field" "a_long_name_of_a_field" "long_name_of_a_fielx"
  "é" "0" "1" "" "_a" "a:" "{" "__proto__" "\u0061" "\"a" "a\\" "\u00e9"`.split(/\s+/)
const STRINGS =
  String.raw`"" "a" "x" "\"" "\\" "\\\"" "\u0041" "\ud83d\ude00" "\ud800" "é" "日本語" "😀" "{\"a\":1}" "]}" "[{" ",\"a\":1" "\/"
  "0123456789abc" "0123456789abcd" "0123456789abcde" "a:"`.split(/\s+/)
const NUMBERS =
  `0 -0 1 -1 0.1 1.0 1e0 10e-1 1E+2 1e400 -1e-400 1e22 1e23 123456789012345 12.340 9007199254740991 9007199254740992
  9007199254740993 -9007199254740993 12345678901234567890 123456789012345678901234567890 0.30000000000000004 2.2250738585072011e-308 4.35
  0.000001 0.0000000000000000000001 0.00000000000000000000001 100000000000000000000000.5 1e0000000000000000000001 5e-324 0e999999999
  1.7976931348623157e308 90071992547409.93 123456789.123456789 18446744073709551615 18446744073709551616 -0.0 -0.5`.split(
    /\s+/,
  )
const HARD_BYTES = Buffer.from(
  `${Buffer.from('{}[]",:\\/ue0-.1tn \r\t\n\n}{"Y_y').toString('hex')}001f7f808fbfc0c3e0e2eda0f0f4f5ff`,
  'hex',
)
