/** Records of one partition that wait for their commit. Its memory is used again and again. */
export class Pending {
  count = 0
  ranks = new Uint32Array(64)
  min = Infinity
  max = -Infinity
  /** Row → 1 for the rows of the batch at hand that go here. */
  rows = new Uint8Array(0)
  private buffer = new Uint8Array(0)
  private used = 0

  /** Takes a copy. */
  add(lines: Uint8Array): void {
    this.reserve(lines.length)
    this.buffer.set(lines, this.used)
    this.used += lines.length
  }

  /** Room for that many bytes, which count as taken. */
  take(length: number): Uint8Array {
    this.reserve(length)
    this.used += length
    return this.buffer.subarray(this.used - length, this.used)
  }

  private reserve(length: number): void {
    if (this.used + length <= this.buffer.length) return
    const more = new Uint8Array(Math.max(2 * this.buffer.length, this.used + length))
    more.set(this.buffer.subarray(0, this.used))
    this.buffer = more
  }

  get lines(): Uint8Array {
    return this.buffer.subarray(0, this.used)
  }

  addRank(rank: number): void {
    if (this.count === this.ranks.length) {
      const more = new Uint32Array(2 * this.ranks.length)
      more.set(this.ranks)
      this.ranks = more
    }
    this.ranks[this.count++] = rank
  }

  extend(time: number): void {
    if (time < this.min) this.min = time
    if (time > this.max) this.max = time
  }

  clear(): void {
    this.count = this.used = 0
    this.min = Infinity
    this.max = -Infinity
  }
}
