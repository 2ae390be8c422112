/**
 * What an operator says of its state, as bytes: a block of a file of state. Typed arrays stand in it as they do in memory, at multiples of 8:
 * large ones are written from where they are, and are views of the file when it is read. All else is V8's.
 *
 *     length of the block u64 · length of the message u64 · message · column · column …        each padded to a multiple of 8
 *
 * The message is by V8's serializer, and in it a typed array is its kind, its place behind the message and its length.
 */

/** A block's two lengths. */
const HEAD_BYTES = 16
/** Shorter pieces are gathered: each is a call to the system. */
const OWN_PIECE_BYTES = 1 << 16

/** By what stands for them in the message; none may move. The last is Node's own. */
const kinds = [Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array, Float64Array]
const BUFFER = kinds.length

type Column = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array

/** What Node's serializer calls for typed arrays. It is in its documentation, and not in its types. */
interface Hosting {
  [TREAT_COLUMNS](treat: boolean): void
}
const TREAT_COLUMNS = '_setTreatArrayBufferViewsAsHostObjects'

/** Loaded where there is state: every start would pay for it. */
const v8 = () => process.getBuiltinModule('node:v8')

/** The bytes of a block, in pieces one after the other. Large ones are views of the state: it must not change before they are used. O(bytes). */
export function encodeBlock(state: unknown): Uint8Array[] {
  const { Serializer } = v8()
  const columns: Column[] = []
  let place = 0
  class Message extends Serializer {
    constructor() {
      super()
      ;(this as unknown as Hosting)[TREAT_COLUMNS](true)
    }
    _writeHostObject(column: Column): void {
      const kind = Buffer.isBuffer(column) ? BUFFER : kinds.findIndex((kind) => column instanceof kind)
      if (kind < 0) throw new TypeError('state holds a typed array of a kind that its files do not know')
      this.writeUint32(kind)
      this.writeDouble(place)
      this.writeDouble(column.length)
      columns.push(column)
      place += padded(column.byteLength)
    }
  }
  const serializer = new Message()
  serializer.writeHeader()
  serializer.writeValue(state)
  const message = serializer.releaseBuffer()
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUIntLE(HEAD_BYTES + padded(message.length) + place, 0, 6)
  head.writeUIntLE(message.length, 8, 6)
  return gathered([head, message, ...columns])
}

/** Pads pieces to multiples of 8, and puts short ones together. */
function gathered(views: readonly Column[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let short: Uint8Array[] = []
  let bytes = 0
  const flush = (): void => {
    if (bytes > 0) pieces.push(Buffer.concat(short, bytes))
    short = []
    bytes = 0
  }
  for (const { buffer, byteOffset, byteLength } of views) {
    const view = new Uint8Array(buffer, byteOffset, byteLength)
    if (byteLength >= OWN_PIECE_BYTES) {
      flush()
      pieces.push(view)
    } else {
      short.push(view)
      bytes += byteLength
    }
    const padding = padded(byteLength) - byteLength
    if (padding > 0) short.push(ZEROS.subarray(0, padding))
    bytes += padding
    if (bytes >= OWN_PIECE_BYTES) flush()
  }
  flush()
  return pieces
}

/** The blocks of some bytes, each as what was said: its columns are views of them. The CRC of the bytes was checked. */
export function* decodeBlocks(bytes: Uint8Array): Generator<unknown> {
  const { buffer, byteOffset, length } = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes)
  const all = Buffer.from(buffer, byteOffset, length)
  for (let at = 0; at < all.length;) {
    const end = at + all.readUIntLE(at, 6)
    yield decodeBlock(all.subarray(at, end))
    at = end
  }
}

function decodeBlock(block: Buffer): unknown {
  const { Deserializer } = v8()
  const length = block.readUIntLE(8, 6)
  const columns = block.subarray(HEAD_BYTES + padded(length))
  class Message extends Deserializer {
    _readHostObject(): Column {
      const kind = this.readUint32()
      const place = columns.byteOffset + this.readDouble()
      const count = this.readDouble()
      const { buffer } = columns as Buffer<ArrayBuffer> // what files are read into is nobody else's
      const Kind = kinds[kind]
      return Kind ? new Kind(buffer, place, count) : Buffer.from(buffer, place, count)
    }
  }
  const message = new Message(block.subarray(HEAD_BYTES, HEAD_BYTES + length))
  message.readHeader()
  return message.readValue()
}

const ZEROS = new Uint8Array(8)
const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8
