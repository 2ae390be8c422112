import type { KeyTable } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import { formatHour } from '../core/time.ts'

const FLUSH_BYTES = 1 << 16
const HOUR = 3_600_000

/**
 * Lines on their way out, written as bytes into one piece of memory and handed on when that is large: a million short results need no
 * strings put together and taken apart again.
 */
export class Lines {
  #bytes = new Uint8Array(2 * FLUSH_BYTES)
  #at = 0
  #out: Collector | undefined

  /** Where lines go from now on. */
  open(out: Collector): void {
    this.#out = out
  }

  /** Hands on what is held: whole lines. */
  flush(): void {
    if (this.#at === 0) return
    const length = this.#at
    this.#at = 0
    this.#out?.emit(this.#bytes.subarray(0, length))
  }

  /** A latin1 ("binary") string. */
  text(text: string): this {
    const length = text.length
    if (this.#at + length > this.#bytes.length) this.#grow(length)
    const bytes = this.#bytes
    let at = this.#at
    for (let index = 0; index < length; index++) bytes[at++] = text.charCodeAt(index)
    this.#at = at
    return this
  }

  /** A part of a key. */
  key(table: KeyTable, id: number, part: number): this {
    const length = table.textBytes(id)
    if (this.#at + length > this.#bytes.length) this.#grow(length)
    this.#at = table.copyText(id, part, this.#bytes, this.#at)
    return this
  }

  /** A time as `formatTime` has it. */
  time(time: EventTime): this {
    const hour = Math.floor(time / HOUR)
    this.text(formatHour(hour))
    if (this.#at + 11 > this.#bytes.length) this.#grow(11)
    const bytes = this.#bytes
    const at = this.#at
    const rest = time - hour * HOUR
    const minute = (rest / 60_000) | 0
    const second = ((rest / 1000) | 0) - minute * 60
    const millisecond = rest % 1000
    const tenths = (millisecond / 10) | 0
    bytes[at] = 0x3a
    digits(bytes, at + 1, minute)
    bytes[at + 3] = 0x3a
    digits(bytes, at + 4, second)
    bytes[at + 6] = 0x2e
    digits(bytes, at + 7, tenths)
    bytes[at + 9] = 0x30 + millisecond - tenths * 10
    bytes[at + 10] = 0x5a
    this.#at = at + 11
    return this
  }

  /** Ends a line. */
  end(): void {
    this.text('\n')
    if (this.#at > FLUSH_BYTES) this.flush()
  }

  #grow(more: number): void {
    const larger = new Uint8Array(2 * this.#bytes.length + more)
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

/** Two digits. */
function digits(bytes: Uint8Array, at: number, value: number): void {
  const tens = (value / 10) | 0
  bytes[at] = 0x30 + tens
  bytes[at + 1] = 0x30 + value - tens * 10
}
