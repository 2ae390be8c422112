/** "Binary" strings hold UTF-8, one char a byte: as `RecordBatch.text()` gives them. */

const isAscii = (text: string): boolean => !/[^\u0000-\u007f]/.test(text)

/** Binary to what a person reads. */
export const fromBinary = (binary: string): string =>
  isAscii(binary) ? binary : Buffer.from(binary, 'latin1').toString('utf8')

/** And back. A lone surrogate would become U+FFFD: check where there may be one. */
export const toBinary = (text: string): string => (isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1'))

/** Half of a character outside the BMP, which no UTF-8 can hold. */
export const LONE_SURROGATE = /\p{Surrogate}/u
