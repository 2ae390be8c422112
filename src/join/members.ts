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
    let { nameStart, nameEnd, valueEnd } = this
    let count = 0
    for (let at = start + 1; ;) {
      let byte = bytes[at]
      while (at < end && byte !== QUOTE && byte !== CLOSE) byte = bytes[++at]
      if (at >= end || byte === CLOSE) {
        this.count = count
        return true
      }
      if (count === nameStart.length) {
        this.#grow()
        ;({ nameStart, nameEnd, valueEnd } = this)
      }
      nameStart[count] = at
      at = skipString(bytes, at, end)
      nameEnd[count] = at
      while (at < end && (bytes[at] === COLON || bytes[at]! <= SPACE)) at++
      byte = bytes[at]
      if (byte === QUOTE) at = skipString(bytes, at, end)
      else if (byte === OPEN || byte === OPEN_ARRAY) at = skipBrackets(bytes, at, end)
      else while (at < end && bytes[at] !== COMMA && bytes[at] !== CLOSE && bytes[at]! > SPACE) at++
      valueEnd[count++] = at
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

/** The end of the object or array that begins at `at`. */
function skipBrackets(bytes: Uint8Array, at: number, end: number): number {
  let depth = 0
  for (let p = at; p < end; p++) {
    const byte = bytes[p]!
    if (byte === QUOTE) p = skipString(bytes, p, end) - 1
    else if (byte === OPEN || byte === OPEN_ARRAY) depth++
    else if ((byte === CLOSE || byte === CLOSE_ARRAY) && --depth === 0) return p + 1
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
