const MOST = 60

/** A short, printable piece of a record for messages: control and escape characters never reach a terminal as they are. */
export function excerpt(bytes: Uint8Array, start = 0, end = bytes.length, column = 1): string {
  const from = Math.max(start, Math.min(start + column - 1 - MOST / 2, end - MOST))
  const to = Math.min(end, from + MOST)
  const text = escapeControls(Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8'))
  return `${from > start ? '…' : ''}${text}${to < end ? '…' : ''}`
}

/** Shows control characters, direction overrides and the like as `\u001b`, so that text is safe to print on a terminal. */
export const escapeControls = (text: string): string =>
  text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
