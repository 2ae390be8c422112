/** The members of one object, as spans: read again and again without making objects. */
export class Members {
  count = 0
  /** Spans of names with their quotes, and of values. */
  nameStart = new Uint32Array(16)
  nameEnd = new Uint32Array(16)
  valueEnd = new Uint32Array(16)

  /**
   * Finds the members of the object that begins at `start`; false when it is none. The line has been checked by the scanner: this walks
   * over strings and brackets only, and never beyond `end`.
   */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.count = 0
    if (bytes[start] !== OPEN) return false
    for (let at = start + 1; ;) {
      while (at < end && bytes[at] !== QUOTE && bytes[at] !== CLOSE) at++
      if (at >= end || bytes[at] === CLOSE) return true
      const nameEnd = skipString(bytes, at, end)
      let value = nameEnd
      while (value < end && (bytes[value] === COLON || bytes[value]! <= SPACE)) value++
      const valueEnd = skipValue(bytes, value, end)
      if (this.count === this.nameStart.length) this.#grow()
      this.nameStart[this.count] = at
      this.nameEnd[this.count] = nameEnd
      this.valueEnd[this.count++] = valueEnd
      at = valueEnd
    }
  }

  #grow(): void {
    const larger = (old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const copy = new Uint32Array(2 * old.length)
      copy.set(old)
      return copy
    }
    this.nameStart = larger(this.nameStart)
    this.nameEnd = larger(this.nameEnd)
    this.valueEnd = larger(this.valueEnd)
  }
}

/** The end of the string that begins at `at`. */
function skipString(bytes: Uint8Array, at: number, end: number): number {
  for (let p = at + 1; p < end; p++) {
    const byte = bytes[p]
    if (byte === QUOTE) return p + 1
    if (byte === BACKSLASH) p++
  }
  return end
}

function skipValue(bytes: Uint8Array, at: number, end: number): number {
  let depth = 0
  for (let p = at; p < end; p++) {
    const byte = bytes[p]!
    if (byte === QUOTE) {
      p = skipString(bytes, p, end) - 1
      if (depth === 0) return p + 1
    } else if (byte === OPEN || byte === OPEN_ARRAY) depth++
    else if (byte === CLOSE || byte === CLOSE_ARRAY) {
      if (depth === 0) return p
      if (--depth === 0) return p + 1
    } else if (depth === 0 && (byte === COMMA || byte <= SPACE)) return p
  }
  return end
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const SPACE = 0x20
const OPEN = 0x7b
const CLOSE = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
