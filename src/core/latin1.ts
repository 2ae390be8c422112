/**
 * Bytes as "binary" strings: one char a byte. Texts of records are handled so where they are only handed on, compared or measured,
 * since nothing is decoded or checked twice; JSON's own characters are ASCII, so JSON syntax reads the same.
 */

interface Latin1 {
  latin1Slice(start: number, end: number): string
}
// Not in Node's types, but on every Buffer; and it takes any Uint8Array, which saves a Buffer a call.
const { latin1Slice } = Buffer.prototype as unknown as Latin1

/** The bytes `start`..`end` as a binary string of its own (no view of a larger one). */
export const latin1 = (bytes: Uint8Array, start = 0, end = bytes.length): string => latin1Slice.call(bytes, start, end)

/** UTF-8 text as a binary string. Lone surrogates become U+FFFD. */
export const toLatin1 = (text: string): string => Buffer.from(text).toString('latin1')

/** And back. */
export const fromLatin1 = (binary: string): string => Buffer.from(binary, 'latin1').toString()
