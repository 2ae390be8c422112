import type { Emit } from '../core/spec.ts'

const BYTES = 128 * 1024

/**
 * Gathers records before they are emitted: as bytes, which a hot path writes itself, or as text. Keeps their order when both are used.
 */
export class RecordWriter {
  /** Where the next byte goes in what `room` gave. */
  at = 0
  private out = Buffer.allocUnsafeSlow(0)
  /** Records before those bytes. */
  private text = ''
  private readonly encoding: 'latin1' | 'utf8'

  constructor(encoding: 'latin1' | 'utf8') {
    this.encoding = encoding
  }

  /** Memory with at least `bytes` free from `at` on. */
  room(bytes: number, emit: Emit): Uint8Array {
    if (this.at + bytes > this.out.length) {
      this.flush(emit)
      if (bytes > this.out.length) this.out = Buffer.allocUnsafeSlow(Math.max(BYTES, bytes))
    }
    return this.out
  }

  /** A record without its line end. */
  add(record: string, emit: Emit): void {
    if (this.at > 0) this.flush(emit)
    this.text += `${record}\n`
    if (this.text.length > BYTES) this.flush(emit)
  }

  flush(emit: Emit): void {
    if (this.text !== '') emit(Buffer.from(this.text, this.encoding))
    if (this.at > 0) emit(this.out.subarray(0, this.at))
    this.text = ''
    this.at = 0
  }
}

const escapes: readonly (Uint8Array | undefined)[] = Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === 0x22 || byte === 0x5c
    ? Buffer.from(JSON.stringify(String.fromCharCode(byte)).slice(1, -1))
    : undefined,
)
const isEscaped = Uint8Array.from(escapes, (escape) => (escape ? 1 : 0))

/** Writes the content of a JSON string of the bytes `from`..`to`; returns where it ends. Needs room for six times the bytes. */
export function writeEscaped(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (isEscaped[byte]) at = writeBytes(escapes[byte] as Uint8Array, out, at)
    else out[at++] = byte
  }
  return at
}

/** Writes all of `bytes`; returns where they end. For short texts: a loop beats a call. */
export function writeBytes(bytes: Uint8Array, out: Uint8Array, at: number): number {
  for (let i = 0; i < bytes.length; i++) out[at++] = bytes[i] as number
  return at
}
