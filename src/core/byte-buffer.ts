/** Below this a loop over bytes is faster than a view and `set`. */
const SHORT = 40

/** Bytes that grow. */
export class ByteBuffer {
  bytes: Uint8Array<ArrayBuffer>
  length = 0

  constructor(capacity = 1 << 12) {
    this.bytes = new Uint8Array(capacity)
  }

  /** Makes room for `more` bytes after `length`. */
  reserve(more: number): void {
    const wanted = this.length + more
    if (wanted <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(wanted, this.bytes.length + (this.bytes.length >> 1)))
    larger.set(this.view())
    this.bytes = larger
  }

  /** Appends `from[start..end]`. */
  copy(from: Uint8Array, start: number, end: number): void {
    const size = end - start
    if (this.length + size > this.bytes.length) this.reserve(size)
    const { bytes } = this
    let at = this.length
    if (size <= SHORT) for (let p = start; p < end; p++) bytes[at++] = from[p]!
    // Not subarray: that of a Buffer takes three times as long.
    else bytes.set(new Uint8Array(from.buffer, from.byteOffset + start, size), at)
    this.length += size
  }

  append(from: Uint8Array): void {
    this.copy(from, 0, from.length)
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1)
    this.bytes[this.length++] = value
  }

  uint32(value: number): void {
    this.reserve(4)
    const { bytes, length } = this
    bytes[length] = value
    bytes[length + 1] = value >>> 8
    bytes[length + 2] = value >>> 16
    bytes[length + 3] = value >>> 24
    this.length += 4
  }

  /** What has been written. Valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length)
  }
}
