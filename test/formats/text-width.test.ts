import * as fc from 'fast-check'
import stringWidth from 'string-width'
import { describe, expect, it } from 'vitest'
import { cut, widthOf } from '../../src/formats/text-width.ts'

const pieces = [
  ['ASCII', ['a', 'Z', ' ', '~', '0']],
  ['Latin, Greek, Cyrillic', ['é', 'ß', 'ω', 'Ж', '—', '…', '€', '²']],
  ['combining marks', ['e\u0301', 'o\u0308', 'a\u0323\u0302', '\u200b', '\u200d', '\u00ad']],
  ['wide scripts', ['日', '本', 'ひ', 'カ', '한', '、', 'Ａ', '￥', '𠀀', '㍿', '〜', '（']],
  ['half-width forms', ['ｱ', 'ﾊ', '￨']],
  ['emoji', ['😀', '👍🏽', '👩‍🚀', '👩‍👩‍👧', '🇩🇪', '❤️', '1️⃣', '⌚', '✅', '🈁']],
  ['symbols that are no emoji', ['☎', '✓', '→', '█', '♥']],
  ['other scripts', ['ש', 'ع', 'ก', 'ก็', 'ம']],
] as const

describe('the width of', () => {
  it.each(pieces)('%s', (_, texts) => {
    for (const text of texts) expect(widthOf(text), JSON.stringify(text)).toBe(stringWidth(text))
  })

  it('every character', () => {
    const different: string[] = []
    for (let code = 0x20; code < 0x40000; code++) {
      const text = String.fromCodePoint(code)
      // Half a flag is shown in many ways.
      if (!/\p{Assigned}/u.test(text) || /[\p{Surrogate}\p{Private_Use}\p{Regional_Indicator}]/u.test(text)) continue
      if (widthOf(text) !== stringWidth(text)) different.push(code.toString(16))
    }
    // Versions of Unicode differ in a few.
    expect(different.length, different.join(' ')).toBeLessThan(100)
  })

  it('mixed texts is that of their parts', () =>
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces.flatMap(([, texts]) => [...texts]))), (texts) => {
        const text = texts.join('|')
        expect(widthOf(text)).toBe(stringWidth(text))
      }),
    ))

  it('a text cut to fit is at most that', () =>
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', '日', 'e\u0301', '👩‍🚀', ' ') }),
        fc.integer({ min: 1, max: 12 }),
        (text, width) => {
          const short = cut(text, width)
          expect(widthOf(short)).toBeLessThanOrEqual(width)
          if (widthOf(text) <= width) expect(short).toBe(text)
          else expect(text.startsWith(short.slice(0, -1)) && short.endsWith('…')).toBe(true)
        },
      ),
    ))
})
