import { describe, expect, it } from 'vitest'
import { openScanner, scanAll } from './scan.ts'

/**
 * What RFC 8259 parsers must accept (y) and reject (n), and what is theirs to decide (i), after Nicolas Seriot, "Parsing JSON is a
 * minefield" (2016), and his JSONTestSuite: its cases by name, as far as they fit on one line, written anew. Bytes beyond ASCII are
 * `\xNN`, one each. Beck takes every i that is valid UTF-8 and not too deep.
 */
const cases = String.raw`
y array_arraysWithSpaces [[]   ]
y array_empty []
y array_empty-string [""]
y array_false [false]
y array_heterogeneous [null, 1, "1", {}]
y array_null [null]
y array_with_leading_space  [1]
y array_with_several_null [1,null,null,null,2]
y array_with_trailing_space [2] 
y number [123e65]
y number_0e+1 [0e+1]
y number_0e1 [0e1]
y number_after_space [ 4]
y number_double_close_to_zero [-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]
y number_int_with_exp [20e1]
y number_minus_zero [-0]
y number_negative_int [-123]
y number_real_capital_e [1E22]
y number_real_capital_e_neg_exp [1E-2]
y number_real_capital_e_pos_exp [1E+2]
y number_real_exponent [123e45]
y number_real_fraction_exponent [123.456e78]
y number_real_neg_exp [1e-2]
y number_simple_real [123.456789]
y object {"asd":"sdf", "dfg":"fgh"}
y object_duplicated_key {"a":"b","a":"c"}
y object_empty {}
y object_empty_key {"":0}
y object_escaped_null_in_key {"foo\u0000bar": 42}
y object_extreme_numbers { "min": -1.0e+28, "max": 1.0e+28 }
y object_long_strings {"x":[{"id": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}], "id": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
y object_string_unicode {"title":"\u041f\u043e\u043b\u0442\u043e\u0440\u0430" }
y string_1_2_3_bytes_UTF-8_sequences ["\u0060\u012a\u12AB"]
y string_accepted_surrogate_pair ["\uD801\udc37"]
y string_allowed_escapes ["\"\\\/\b\f\n\r\t"]
y string_backslash_and_u_escaped_zero ["\\u0000"]
y string_comments ["a/*b*/c/*d//e"]
y string_double_escape_a ["\\a"]
y string_escaped_control_character ["\u0012"]
y string_escaped_noncharacter ["\uFFFF"]
y string_in_array ["asd"]
y string_last_surrogates_1_and_2 ["\uDBFF\uDFFF"]
y string_nonCharacterInUTF-8_U+10FFFF ["\xf4\x8f\xbf\xbf"]
y string_nonCharacterInUTF-8_U+FFFF ["\xef\xbf\xbf"]
y string_null_escape ["\u0000"]
y string_one-byte-utf-8 ["\u002c"]
y string_pi ["\xcf\x80"]
y string_simple_ascii ["asd "]
y string_space " "
y string_three-byte-utf-8 ["\u0821"]
y string_two-byte-utf-8 ["\u0123"]
y string_u+2028_line_sep ["\xe2\x80\xa8"]
y string_unescaped_char_delete ["\x7f"]
y string_utf8 ["\xe2\x82\xac\xf0\x9d\x84\x9e"]
y structure_lonely_false false
y structure_lonely_int 42
y structure_lonely_negative_real -0.1
y structure_lonely_null null
y structure_lonely_string "asd"
y structure_string_empty ""
y structure_true_in_array [true]
n array_1_true_without_comma [1 true]
n array_a_invalid_utf8 [a\xe5]
n array_colon_instead_of_comma ["": 1]
n array_comma_after_close [""],
n array_comma_and_number [,1]
n array_double_comma [1,,2]
n array_double_extra_comma ["x",,]
n array_extra_close ["x"]]
n array_extra_comma ["",]
n array_incomplete ["x"
n array_incomplete_invalid_value [x
n array_inner_array_no_comma [3[4]]
n array_invalid_utf8 [\xff]
n array_items_separated_by_semicolon [1:2]
n array_just_comma [,]
n array_just_minus [-]
n array_missing_value [   , ""]
n array_number_and_several_commas [1,,]
n array_spaces_vertical_tab_formfeed ["\x0ba"\f]
n array_star_inside [*]
n array_unclosed [""
n array_unclosed_with_object_inside [{}
n incomplete_false [fals]
n incomplete_null [nul]
n incomplete_true [tru]
n multidigit_number_then_00 123\x00
n number_++ [++1234]
n number_+1 [+1]
n number_+Inf [+Inf]
n number_-01 [-01]
n number_-1.0. [-1.0.]
n number_-2. [-2.]
n number_-NaN [-NaN]
n number_.-1 [.-1]
n number_.2e-3 [.2e-3]
n number_0.1.2 [0.1.2]
n number_0.3e+ [0.3e+]
n number_0.e1 [0.e1]
n number_0_capital_E+ [0E+]
n number_0e [0e]
n number_1.0e- [1.0e-]
n number_1_000 [1 000.0]
n number_1eE2 [1eE2]
n number_9.e+ [9.e+]
n number_Inf [Inf]
n number_NaN [NaN]
n number_U+FF11_fullwidth_digit_one [\xef\xbc\x91]
n number_expression [1+2]
n number_hex_1_digit [0x1]
n number_infinity [Infinity]
n number_invalid+- [0e+-1]
n number_invalid-utf-8-in-exponent [1e1\xe5]
n number_minus_space_1 [- 1]
n number_neg_int_starting_with_zero [-012]
n number_neg_with_garbage_at_end [-1x]
n number_real_garbage_after_e [1ea]
n number_real_without_fractional_part [1.]
n number_starting_with_dot [.123]
n number_then_00 1\x00
n number_with_alpha [1.2a-3]
n number_with_leading_zero [012]
n object_bad_value ["x", truth]
n object_bracket_key {[: "x"}
n object_comma_instead_of_colon {"x", null}
n object_double_colon {"x"::"b"}
n object_emoji {\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}
n object_garbage_at_end {"a":"a" 123}
n object_key_with_single_quotes {key: 'value'}
n object_lone_continuation_byte_in_key_and_trailing_comma {"\xb9":"0",}
n object_missing_colon {"a" b}
n object_missing_key {:"b"}
n object_missing_semicolon {"a" "b"}
n object_missing_value {"a":
n object_no-colon {"a"
n object_non_string_key {1:1}
n object_repeated_null_null {null:null,null:null}
n object_several_trailing_commas {"id":0,,,,,}
n object_single_quote {'a':0}
n object_trailing_comma {"id":0,}
n object_trailing_comment {"a":"b"}/**/
n object_trailing_comment_slash_open {"a":"b"}//
n object_two_commas_in_a_row {"a":"b",,"c":"d"}
n object_unquoted_key {a: "b"}
n object_unterminated-value {"a":"a
n object_with_single_string { "foo" : "bar", "a" }
n object_with_trailing_garbage {"a":"b"}#
n single_space_with_text a 
n string_1_surrogate_then_escape ["\uD800\"]
n string_1_surrogate_then_escape_u1x ["\uD800\u1x"]
n string_accentuated_char_no_quotes [\xc3\xa9]
n string_backslash_00 ["\\x00"]
n string_escape_x ["\x5cx00"]
n string_escaped_backslash_bad ["\\\"]
n string_escaped_ctrl_char_tab ["\x5c\x09"]
n string_escaped_emoji ["\x5c\xf0\x9f\x8c\x80"]
n string_incomplete_escape ["\"]
n string_incomplete_escaped_character ["\u00A"]
n string_incomplete_surrogate ["\uD834\uDd"]
n string_invalid_backslash_esc ["\a"]
n string_invalid_unicode_escape ["\uqqqq"]
n string_invalid_utf8_after_escape ["\x5c\xe5"]
n string_leading_uescaped_thinspace [\u0020"asd"]
n string_no_quotes_with_bad_escape [\n]
n string_single_doublequote "
n string_single_quote ['single quote']
n string_start_escape_unclosed ["\
n string_unescaped_ctrl_char ["a\x00a"]
n string_unescaped_tab ["\x09"]
n string_unicode_CapitalU "\UA66D"
n string_with_trailing_garbage ""x
n structure_angle_bracket_. <.>
n structure_array_trailing_garbage [1]x
n structure_array_with_extra_array_close [1]]
n structure_array_with_unclosed_string ["asd]
n structure_capitalized_True [True]
n structure_close_unopened_array 1]
n structure_comma_instead_of_closing_brace {"x": true,
n structure_double_array [][]
n structure_end_array ]
n structure_lone-open-bracket [
n structure_null-byte-outside-string [\x00]
n structure_number_with_trailing_garbage 2@
n structure_object_followed_by_closing_object {}}
n structure_object_unclosed_no_value {"":
n structure_object_with_comment {"a":/*comment*/"b"}
n structure_object_with_trailing_garbage {"a": true} "x"
n structure_open_array_apostrophe ['
n structure_open_object_open_array {[
n structure_open_open ["\{["\{["\{["\{
n structure_single_star *
n structure_trailing_# {"a":"b"}#{}
n structure_U+2060_word_joined [\xe2\x81\xa0]
n structure_unclosed_array_partial_null [ false, nul
n structure_unclosed_object {"asd":"asd"
n structure_unicode-identifier \xc3\xa5
n structure_whitespace_formfeed [\x0c]
y i_number_double_huge_neg_exp [123.456e-789]
y i_number_huge_exp [0.4e00669999999999999999999999999999999999999999999999999999999999999999999]
y i_number_real_underflow [123e-10000000]
y i_number_too_big_pos_int [100000000000000000000]
y i_object_key_lone_2nd_surrogate {"\uDFAA":0}
y i_string_1st_surrogate_but_2nd_missing ["\uDADA"]
y i_string_inverted_surrogates_U+1D11E ["\uDd1e\uD834"]
n i_string_UTF-8_invalid_sequence ["\xe6\x97\xa5\xd1\x88\xfa"]
n i_string_UTF8_surrogate_U+D800 ["\xed\xa0\x80"]
n i_string_invalid_utf-8 ["\xff"]
n i_string_not_in_unicode_range ["\xf4\xbf\xbf\xbf"]
n i_string_overlong_sequence_2_bytes ["\xc0\xaf"]
n i_string_overlong_sequence_6_bytes ["\xfc\x83\xbf\xbf\xbf\xbf"]
n i_string_truncated-utf-8 ["\xe0\xff"]
n i_string_lone_utf8_continuation_byte ["\x81"]
y i_structure_UTF-8_BOM_empty_object \xef\xbb\xbf{}
`
  .slice(1, -1)
  .split('\n')
  .map((line) => {
    const [, verdict = '', name = '', text = ''] = /^([yn]) (\S+) (.*)$/.exec(line) ?? []
    const bytes = text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    return { name, accept: verdict === 'y', bytes: Buffer.from(bytes, 'latin1') }
  })

/** By itself, and as a wanted value. */
const places = [
  { where: 'alone', wrap: (bytes: Buffer) => bytes },
  { where: 'wanted', wrap: (bytes: Buffer) => Buffer.concat([Buffer.from('{"a":'), bytes, Buffer.from('}')]) },
]

/** What the fast scanner passes by when it is not strict, since nothing there is wanted; or since it sees a member end well. */
const unseen = [
  'alone object_comma_instead_of_colon',
  'alone object_emoji',
  'alone object_missing_colon',
  'alone object_missing_semicolon',
  'alone object_two_commas_in_a_row',
  'alone object_with_single_string',
]

describe.each([
  { which: 'reference', strict: false },
  { which: 'wasm', strict: true },
  { which: 'wasm', strict: false },
] as const)('the cases of JSONTestSuite: $which, strict $strict', (options) => {
  const scanner = openScanner('a', options)
  const rows = (input: string | Buffer) => {
    scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
    const { rows, bad } = scanAll(scanner, input)
    expect(rows.length + bad.length).toBe(1)
    return rows.length
  }
  const lazy = options.which === 'wasm' && !options.strict

  it.each(cases)('$name', ({ name, accept, bytes }) => {
    for (const { where, wrap } of places) {
      if (where === 'wanted' && name.includes('BOM')) continue
      const passes = accept || (lazy && unseen.includes(`${where} ${name}`))
      expect({ where, rows: rows(wrap(bytes)) }).toEqual({ where, rows: Number(passes) })
    }
  })

  it('n structure_100000_opening_arrays, n structure_open_array_object, y 512 levels', () => {
    expect(rows('['.repeat(100_000))).toBe(0)
    expect(rows('[{"":'.repeat(50_000))).toBe(0)
    expect(rows(`${'{"a":'.repeat(513)}1${'}'.repeat(513)}`)).toBe(0)
    expect(rows(`${'{"a":'.repeat(512)}1${'}'.repeat(512)}`)).toBe(1)
    expect(rows(`{"a":${'['.repeat(511)}${']'.repeat(511)}}`)).toBe(1)
    expect(rows(`{"a":${'['.repeat(512)}${']'.repeat(512)}}`)).toBe(0)
  })
})
