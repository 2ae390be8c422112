/**
 * How many columns of a terminal a text takes. By grapheme: an emoji or an East Asian wide character takes two, marks on a letter none.
 * The wide ranges are those of Unicode 16's EastAsianWidth.txt (W and F), a little simplified in unassigned places; the tests compare with the
 * package string-width, which would cost every table 20 ms to load.
 */
const WIDE =
  /^[\u1100-\u115f\u231a\u231b\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\u3247\u3250-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1d300}-\u{1d376}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u
const EMOJI = /\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|[\d#*]\ufe0f?\u20e3/u
const INVISIBLE = /^[\p{Default_Ignorable_Code_Point}\p{Mn}\p{Me}\p{Cc}\p{Cf}]*$/u

let graphemes: Intl.Segmenter | undefined
const segments = (text: string): Intl.Segments => (graphemes ??= new Intl.Segmenter()).segment(text)

export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segments(text)) width += widthOfGrapheme(segment)
  return width
}

function widthOfGrapheme(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0
  return EMOJI.test(grapheme) || WIDE.test(grapheme) ? 2 : 1
}

/** The text, or its first characters and "…": at most `width` columns. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  let used = 1 // for the mark
  for (const { segment } of segments(text)) {
    used += widthOfGrapheme(segment)
    if (used > width) break
    kept += segment
  }
  return `${kept}…`
}
