import { parseExpressionAt, type AnyNode, type BlockStatement, type Expression, type Pattern, type Token } from 'acorn'
import { BeckError } from '../core/errors.ts'

/** A user's function, or an expression over `r` seen as one. Positions in the nodes are positions in `text`. */
export interface UserFunction {
  readonly text: string
  readonly params: readonly Pattern[]
  readonly body: Expression | BlockStatement
}

/**
 * Parses `r => …`, `(r, i) => …`, `function (r) { … }`, or an expression over `bare` names (no bare form when undefined), with `most` parameters at most.
 * An object literal needs no parentheses: `{a: r.a}` and `r => {a: r.a}` are objects. Braces after an arrow are a function body
 * when they hold a `return`, or when they make no sense as an object.
 * @throws BeckError bad-program, with the place
 */
export function parseFunction(text: string, bare: readonly string[] | undefined, most: number): UserFunction {
  if (!text.trim()) throw new BeckError('bad-program', { problem: 'the expression is empty', hint: WAY_OUT })
  const whole = parseWith(text)
  const { type } = whole
  if (type === 'ArrowFunctionExpression' || type === 'FunctionExpression') {
    if (whole.async || whole.generator) {
      fail(text, whole.start, 'the function must not be async or a generator', 'compute the result at once')
    }
    const extra = whole.params[most]
    if (extra)
      fail(text, extra.start, `the function takes ${most} parameter${most === 1 ? '' : 's'} at most`, 'leave it out')
    return { text, params: whole.params, body: objectBody(text, whole.body) ?? whole.body }
  }
  if (!bare) fail(text, whole.start, 'this should be a function', 'write it like (state, r) => state + r.bytes')
  return { text, params: bare.map((name) => ({ type: 'Identifier', name, start: 0, end: 0 })), body: whole }
}

/** The whole text as one expression. Where braces after the first arrow cannot be a function body they are tried as an object. */
function parseWith(text: string): Expression {
  try {
    return parseOne(text, 0)
  } catch (error) {
    const arrow = /^\s*(?:[\w$]+|\([^()]*\))\s*=>\s*(?=\{)/.exec(text)
    if (arrow) {
      const at = arrow[0].length
      try {
        const body = parseOne(text, at)
        // The head alone: `r => 0`, so that positions stay what they are.
        const head = parseOne(`${text.slice(0, at)}0`, 0)
        if (body.type === 'ObjectExpression' && head.type === 'ArrowFunctionExpression') return { ...head, body }
      } catch {
        // The first error is the one to show.
      }
    }
    throw error
  }
}

/** `{a: r.x}` after an arrow is a block with a label to JavaScript; nobody means that. */
function objectBody(text: string, body: Expression | BlockStatement): Expression | undefined {
  if (body.type !== 'BlockStatement' || returns(body)) return undefined
  try {
    const object = parseOne(text.slice(0, body.end), body.start)
    if (object.type === 'ObjectExpression') return object
  } catch {
    // Then it is a function body, and one that returns nothing.
  }
  return fail(text, body.start, 'the function returns nothing', 'end it with "return …"')
}

/** Whether a function body returns something itself, not in a function inside it. */
function returns(node: AnyNode): boolean {
  if (node.type === 'ReturnStatement' || node.type === 'ThrowStatement') return true
  if (node.type !== 'BlockStatement' && /Function|Class/.test(node.type)) return false
  return children(node).some(returns)
}

/** The nodes directly below, in the order of the text. */
export function children(node: AnyNode): AnyNode[] {
  const found: AnyNode[] = []
  for (const value of Object.values(node) as unknown[]) {
    for (const item of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof item === 'object' && item !== null && 'type' in item && 'start' in item) found.push(item as AnyNode)
    }
  }
  return found.sort((a, b) => a.start - b.start)
}

function parseOne(text: string, at: number): Expression {
  const tokens: Token[] = []
  let expression: Expression
  try {
    expression = parseExpressionAt(text, at, {
      ecmaVersion: 'latest',
      sourceType: 'module', // strict mode
      allowAwaitOutsideFunction: false,
      onToken: tokens,
    })
  } catch (error) {
    if (!(error instanceof SyntaxError) || !('pos' in error)) throw error
    if (/stack space/.test(error.message)) tooDeep(text, error.pos as number)
    const what = error.message.replace(/ \(\d+:\d+\)$/, '')
    return fail(text, error.pos as number, what[0]?.toLowerCase() + what.slice(1))
  }
  const end = tokens.at(-1)?.end ?? text.length
  const rest = /^(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*;?\s*/.exec(text.slice(end))?.[0].length ?? 0
  if (end + rest < text.length) fail(text, end + rest, 'the expression should have ended here')
  checkDepth(text, expression)
  return expression
}

/** Levels of an expression: all that look at it go down level by level. */
const MOST_LEVELS = 1500

function checkDepth(text: string, expression: Expression): void {
  // A level takes a character at least.
  if (text.length < MOST_LEVELS) return
  let level: AnyNode[] = [expression]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_LEVELS) tooDeep(text, level[0]!.start)
    level = level.flatMap(children)
  }
}

function tooDeep(text: string, at: number): never {
  fail(text, at, 'this is nested too deeply', 'for one of many values, write [1, 2, 3].includes(r.x)')
}

const SPOKEN: Readonly<Record<string, string>> = { and: '&&', or: '||', not: '!', is: '===', like: '.includes(…)' }

const WAY_OUT = "write it like r.status >= 500, or {path: r.path}, inside '…' in the shell"

/** Characters before and behind the place of an error that are shown at most. */
const MOST_AROUND = 60

/** A syntax error with the line and a caret under the place. @throws BeckError bad-program */
export function fail(text: string, at: number, problem: string, hint?: string): never {
  const before = text.slice(0, at)
  const start = before.lastIndexOf('\n') + 1
  const line = /[^\n]*/.exec(text.slice(start))?.[0] ?? ''
  // Of a long line what is around the place.
  const from = at - start > 2 * MOST_AROUND ? at - MOST_AROUND : start
  const shown = line.slice(from - start, at - start + MOST_AROUND)
  const [cutBefore, cutAfter] = [from > start ? '…' : '', at - start + MOST_AROUND < line.length ? '…' : '']
  const blank = cutBefore.replace('…', ' ') + text.slice(from, at).replaceAll(/[^\t]/g, ' ')
  const words = [/^[a-z]+/i.exec(text.slice(at))?.[0], /[a-z]+(?=\s+$)/i.exec(before)?.[0]]
  const word = words.map((found) => found?.toLowerCase() ?? '').find((found) => Object.hasOwn(SPOKEN, found))
  const spoken = word && `for "${word}" JavaScript writes ${SPOKEN[word]}`
  throw new BeckError('bad-program', {
    problem: `the expression, at column ${at - start + 1}: ${problem}`,
    hint: `  ${cutBefore}${shown}${cutAfter}\n  ${blank}^\n${hint ?? spoken ?? WAY_OUT}`,
  })
}
