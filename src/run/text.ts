import { readFileSync } from 'node:fs'
import { atFile, BeckError } from '../core/errors.ts'
import { expandGlob } from './glob.ts'

/**
 * The text of a pipeline: stages of words between `|`, quoted as in a shell. What a shell would make of a text with `beck` before each
 * stage is what is made of it here; what a shell would put into it ($name, `…`, redirections) is refused, with its place.
 *
 *     join (replay orders | filter 'r.ok') --on id | tee (append copies) | to csv     # a comment
 *     └──┘ └─────────────────────────────┘ word      └─────────────────┘ fork
 */

/** A text and what messages call it: `text`, or the name of its file. */
export interface JobSource {
  readonly name: string
  readonly text: string
  /** Where patterns of file names are looked up. Default: the current folder. */
  readonly folder?: string
}

/** Stages in their order. Never empty. */
export interface PipelineText {
  readonly stages: readonly StageText[]
  /** Where it begins and ends in the text, in UTF-16 units. */
  readonly at: number
  readonly end: number
}

export interface StageText {
  /** The first word: a command of beck. */
  readonly name: string
  /** The words after it. */
  readonly words: readonly Word[]
  readonly at: number
  readonly end: number
}

export type Word =
  /** As the command gets it: without quotes, patterns of file names expanded (`files`). */
  | { readonly kind: 'text'; readonly text: string; readonly files?: readonly string[]; readonly at: number }
  /** A pipeline in brackets. */
  | { readonly kind: 'pipeline'; readonly pipeline: PipelineText; readonly at: number }

/** The words of a stage, patterns of file names expanded. `pipeline` names the stand-in for the pipeline at that index of `words`. */
export function plainWords({ words }: StageText, pipeline: (index: number) => string): string[] {
  return words.flatMap((word, index) => (word.kind === 'text' ? (word.files ?? [word.text]) : [pipeline(index)]))
}

/** Reads the file of a job. @throws BeckError no-such-file, file, usage */
export function readJob(file: string): JobSource {
  const bytes = atFile(file, () => readFileSync(file))
  try {
    return { name: file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    throw new BeckError('usage', {
      problem: `${file} is no text: it has bytes that are not UTF-8`,
      hint: 'convert it: iconv -f latin1 -t utf-8',
    })
  }
}

/** `JOB.beck:3:12`; columns count characters from 1. */
export function placeIn({ name, text }: JobSource, at: number): string {
  const before = text.slice(0, at)
  const lineStart = before.lastIndexOf('\n') + 1
  return `${name}:${before.split('\n').length}:${Array.from(before.slice(lineStart)).length + 1}`
}

/** An error at a place of the text. */
export const textError = (source: JobSource, at: number, problem: string, hint: string): BeckError =>
  new BeckError('usage', { place: placeIn(source, at), problem, hint })

/** Reads a pipeline. @throws BeckError usage */
export const parsePipeline = (source: JobSource): PipelineText => new Parser(source).whole()

/** What ends a word that is not in quotes. */
const ENDS = /[\s|()]/
/** What a shell acts upon, and what to write here. */
const SHELL_ONLY: Readonly<Record<string, readonly [problem: string, hint: string]>> = {
  '>': [
    'there are no redirections here',
    'beck run … > FILE writes to a file; in quotes it is a character as any other',
  ],
  '<': ['there are no redirections here', 'name the file after the command: filter r.ok FILE'],
  '&': [
    'a pipeline does not run in the background, nor after another one',
    'start two commands: beck run … && beck run …',
  ],
  ';': ['one text is one pipeline', 'start two commands: beck run …; beck run …'],
  $: [
    'there are no variables here',
    "values come with --arg name=value, and are args.name in expressions; a plain $ stands in '…'",
  ],
  '`': ['no commands are run inside words', "in quotes it is a character as any other: '`'"],
}

/** What a word processor makes of hyphens and quotes, at the beginning of a word. */
const PRINTED_QUOTE = /[\u2018\u2019\u201c-\u201e]/
const PRINTED_DASH = /[\u2013\u2014\u2212]/
/** Pipelines in brackets within each other. */
const MOST_NESTED = 100

class Parser {
  readonly #source: JobSource
  readonly #text: string
  #at = 0
  #nested = 0

  constructor(source: JobSource) {
    this.#source = source
    this.#text = source.text
  }

  whole(): PipelineText {
    const nul = this.#text.indexOf('\0')
    if (nul >= 0) throw this.#error(nul, 'there is a NUL character here', 'no word of a command line can hold one')
    const pipeline = this.#pipeline()
    if (this.#at < this.#text.length)
      throw this.#error(this.#at, '")" closes nothing', "in quotes it is a character as any other: 'f(x)'")
    return pipeline
  }

  /** Up to the end of the text or a closing bracket. */
  #pipeline(): PipelineText {
    const stages: StageText[] = []
    this.#skipSpace()
    const at = this.#at
    // A line that begins with "|" goes on with the stage of the line before; before the first stage there is none.
    for (;;) {
      stages.push(this.#stage())
      if (this.#text[this.#at] !== '|') break
      if (this.#text[this.#at + 1] === '|') {
        throw this.#error(this.#at, '"||" is a shell\'s "or"', 'stages stand between single "|"')
      }
      this.#at++
      this.#skipSpace()
    }
    return { stages, at, end: this.#at }
  }

  #stage(): StageText {
    const at = this.#at
    const words: Word[] = []
    let end = at
    for (;;) {
      this.#skipSpace()
      const next = this.#text[this.#at]
      if (next === undefined || next === '|' || next === ')') break
      // Other programs may be given what they like.
      if (words[0]?.kind !== 'text' || words[0].text !== 'via') this.#refusePrinted(next)
      words.push(next === '(' ? this.#group() : this.#word())
      end = this.#at
    }
    if (words[0]?.kind === 'text' && words[0].text === 'beck' && words.length > 1) words.shift()
    const first = words.shift()
    if (!first) {
      const where = this.#text[this.#at] === undefined ? 'the text ends' : `"${this.#text[this.#at] as string}" stands`
      throw this.#error(
        this.#at,
        `${where} where a stage should be`,
        "for example: beck run 'replay clicks | filter r.ok | to csv'",
      )
    }
    if (first.kind === 'pipeline') {
      throw this.#error(
        first.at,
        'a pipeline in brackets is a table of join, or a branch of tee',
        'for example: join (replay orders) --on id',
      )
    }
    return { name: first.text, words, at, end }
  }

  #group(): Word {
    const at = this.#at++
    if (++this.#nested > MOST_NESTED)
      throw this.#error(at, `there are more than ${MOST_NESTED} brackets within each other`, 'keep parts in topics')
    const pipeline = this.#pipeline()
    this.#nested--
    if (this.#text[this.#at] !== ')')
      throw this.#error(at, 'this "(" is never closed', 'a pipeline in brackets ends with ")"')
    this.#at++
    return { kind: 'pipeline', pipeline, at }
  }

  #word(): Word {
    const at = this.#at
    let text = ''
    /** The same as a pattern for file names: quoted characters stand for themselves. */
    let pattern = ''
    let isPattern = false
    const add = (plain: string, quoted: boolean): void => {
      text += plain
      pattern += quoted ? plain.replace(/[\\*?[\]]/g, '\\$&') : plain
      if (!quoted && /[*?[]/.test(plain)) isPattern = true
    }
    if (/^~(?=\/|\s|$)/.test(this.#text.slice(at, at + 2)) && process.env['HOME']) {
      add(process.env['HOME'], true)
      this.#at++
    }
    for (;;) {
      const next = this.#text[this.#at]
      if (next === undefined) break
      if (next === "'") add(this.#single(), true)
      else if (next === '"') add(this.#double(), true)
      else if (next === '\\') {
        const escaped = this.#text[this.#at + 1]
        if (escaped === undefined)
          throw this.#error(this.#at, 'the text ends with "\\"', "in quotes it is a character as any other: '\\'")
        if (escaped !== '\n') add(escaped, true)
        this.#at += 2
      } else if (ENDS.test(next)) {
        if (next !== '(') break
        throw this.#error(
          this.#at,
          'a bracket within a word',
          `write it in quotes: '${this.#text.slice(at, this.#at + 1)}…)'`,
        )
      } else {
        const refused =
          next === '$' && !/^\$[\w{(@*#?$!-]/.test(this.#text.slice(this.#at, this.#at + 2))
            ? undefined
            : SHELL_ONLY[next]
        if (refused) throw this.#error(this.#at, ...refused)
        if (next === '{') this.#refuseBraces()
        add(next, false)
        this.#at++
      }
    }
    return isPattern
      ? { kind: 'text', text, files: expandGlob(pattern, this.#source.folder) ?? [text], at }
      : { kind: 'text', text, at }
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at + 1)
    if (end < 0) throw this.#error(this.#at, "this ' is never closed", "text in single quotes goes to the next '")
    const text = this.#text.slice(this.#at + 1, end)
    this.#at = end + 1
    return text
  }

  #double(): string {
    const at = this.#at++
    let text = ''
    for (;;) {
      const next = this.#text[this.#at]
      if (next === undefined)
        throw this.#error(at, 'this " is never closed', 'text in double quotes goes to the next "')
      if (next === '"') break
      if (next === '`' || (next === '$' && /^[\w{(@*#?$!-]/.test(this.#text[this.#at + 1] ?? ''))) {
        throw this.#error(this.#at, ...(SHELL_ONLY[next] as readonly [string, string]))
      }
      const escaped = next === '\\' ? this.#text[this.#at + 1] : undefined
      if (escaped !== undefined && '"\\$`\n'.includes(escaped)) {
        if (escaped !== '\n') text += escaped
        this.#at += 2
      } else {
        text += next
        this.#at++
      }
    }
    this.#at++
    return text
  }

  #refusePrinted(first: string): void {
    if (PRINTED_DASH.test(first))
      throw this.#error(this.#at, `${first} is a dash of print`, 'options begin with two hyphens: --by')
    if (PRINTED_QUOTE.test(first))
      throw this.#error(this.#at, `${first} is a quote of print`, 'words are quoted with \' or "')
  }

  /** `{a,b}` and `{1..3}` are lists to bash. */
  #refuseBraces(): void {
    const list = /^\{[^\s|'"]*(?:,|\.\.)[^\s|'"]*\}/.exec(this.#text.slice(this.#at))
    if (list)
      throw this.#error(this.#at, `a shell makes several words of ${list[0]}`, `write it in quotes: '${list[0]}'`)
  }

  #skipSpace(): void {
    for (;;) {
      const next = this.#text[this.#at]
      if (next === '#') {
        const end = this.#text.indexOf('\n', this.#at)
        this.#at = end < 0 ? this.#text.length : end
      } else if (next === '\\' && this.#text[this.#at + 1] === '\n') this.#at += 2
      else if (next !== undefined && /\s/.test(next)) this.#at++
      else return
    }
  }

  #error(at: number, problem: string, hint: string): BeckError {
    return textError(this.#source, at, problem, hint)
  }
}
