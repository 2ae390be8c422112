import { Decompress } from 'fzstd'

/**
 * Unpacks zstd data, frame by frame (RFC 8878 §3.1). fzstd makes out the blocks; what it leaves out is done here: the checksum of a
 * frame's content is compared, and data that end inside a frame are an error. Damage is found when its frame ends, after its content.
 * @param pieces the packed bytes; they are kept
 * @throws Error saying what is wrong with the data
 */
export async function* unzstd(pieces: Iterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = new Bytes(pieces)
  for (let magic = input.take(4, true); magic.length > 0; magic = input.take(4, true)) {
    const number = view(magic).getUint32(0, true)
    if ((number & 0xfffffff0) >>> 0 === 0x184d2a50) {
      for (let left = view(input.take(4)).getUint32(0, true); left > 0;)
        left -= input.take(Math.min(left, 1 << 16)).length
    } else if (number === 0xfd2fb528) {
      yield* unpackFrame(magic, input)
    } else {
      throw new Error('something else follows a frame')
    }
  }
}

async function* unpackFrame(magic: Uint8Array, input: Bytes): AsyncGenerator<Uint8Array> {
  const descriptor = input.take(1)
  const flags = descriptor[0] as number
  const alone = (flags & 0x20) !== 0
  const sizeBytes = [alone ? 1 : 0, 2, 4, 8][flags >> 6] as number
  const header = input.take((alone ? 0 : 1) + ([0, 1, 2, 4][flags & 3] as number) + sizeBytes)
  const sum = (flags & 4) === 0 ? undefined : await contentSum()
  const ready: Uint8Array[] = []
  const decoder = new Decompress((content) => {
    if (content.length > 0) ready.push(content)
  })
  decoder.push(Buffer.concat([magic, descriptor, header]))
  for (let last = false; !last;) {
    const block = input.take(3)
    const bits = view(block).getUint16(0, true) | ((block[2] as number) << 16)
    last = (bits & 1) === 1
    const body = input.take(((bits >> 1) & 3) === RLE ? 1 : bits >> 3)
    const expected = last && sum ? input.take(4) : new Uint8Array(0)
    decoder.push(Buffer.concat([block, body, expected]), last)
    for (const content of ready) sum?.update(content)
    yield* ready.splice(0)
    if (last && sum && sum.digest() !== view(expected).getUint32(0, true)) throw new Error('wrong checksum')
  }
}

/** A block of one byte, repeated. */
const RLE = 1

/** The lower half of XXH64, which ends a frame. */
async function contentSum(): Promise<{ update(bytes: Uint8Array): void; digest(): number }> {
  const { default: xxhash } = await import('xxhash-wasm')
  const hash = (await xxhash()).create64()
  return { update: (bytes) => void hash.update(bytes), digest: () => Number(hash.digest() & 0xffff_ffffn) }
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** Bytes by the number, whatever pieces they come in. */
class Bytes {
  readonly #pieces: Iterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)
  constructor(pieces: Iterator<Uint8Array>) {
    this.#pieces = pieces
  }
  /** `count` bytes, or none where the data may end. @throws Error when there are fewer */
  take(count: number, mayEnd = false): Uint8Array {
    const parts: Uint8Array[] = []
    let missing = count
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = this.#pieces.next()
        if (next.done) {
          if (mayEnd && missing === count) return new Uint8Array(0)
          throw new Error('unexpected end of file')
        }
        this.#rest = next.value
      }
      const part = this.#rest.subarray(0, missing)
      parts.push(part)
      this.#rest = this.#rest.subarray(part.length)
      missing -= part.length
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  }
}
