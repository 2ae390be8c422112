import type { AnyNode, Identifier, Pattern } from 'acorn'
import { suggest } from '../core/suggest.ts'
import { children, fail, type UserFunction } from './syntax.ts'

/** The identifiers of a function that mean its parameters (not shadowed), by parameter, and those that mean `args`. */
export interface References {
  readonly params: readonly ReadonlySet<AnyNode>[]
  readonly args: ReadonlySet<AnyNode>
}

/** JavaScript's own names. Not those that run text as code or reach the process. */
export const GLOBALS: ReadonlySet<string> = new Set(
  (
    'undefined NaN Infinity Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean DataView Date Error EvalError ' +
    'Float32Array Float64Array Int16Array Int32Array Int8Array Intl JSON Map Math Number Object Proxy RangeError ' +
    'ReferenceError Reflect RegExp Set String Symbol SyntaxError TextDecoder TextEncoder TypeError URIError URL URLSearchParams ' +
    'Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakSet atob btoa decodeURI decodeURIComponent ' +
    'encodeURI encodeURIComponent isFinite isNaN parseFloat parseInt structuredClone'
  ).split(' '),
)

interface Scope {
  readonly names: Set<string>
  readonly parent: Scope | undefined
}

/**
 * Finds what each name of the function means.
 * @throws BeckError bad-program for a name that is no parameter, variable, `args` or JavaScript's own
 */
export function resolve(fn: UserFunction): References {
  const params = fn.params.map(() => new Set<AnyNode>())
  const args = new Set<AnyNode>()
  const top: Scope = { names: new Set(), parent: undefined }
  const plain = new Map<string, number>()
  fn.params.forEach((param, index) => {
    if (param.type === 'Identifier') plain.set(param.name, index)
    else declare(param, top.names)
  })

  const reference = (node: Identifier, scope: Scope): void => {
    for (let at: Scope | undefined = scope; at; at = at.parent) if (at.names.has(node.name)) return
    const param = plain.get(node.name)
    if (param !== undefined) params[param]?.add(node)
    else if (node.name === 'args') args.add(node)
    else if (!GLOBALS.has(node.name)) unknownName(fn, node, plain.keys().next().value ?? 'r')
  }
  const visit = (node: AnyNode, scope: Scope): void => {
    switch (node.type) {
      case 'Identifier':
        return reference(node, scope)
      case 'MemberExpression':
        visit(node.object, scope)
        if (node.computed) visit(node.property, scope)
        return
      case 'Property':
      case 'PropertyDefinition':
      case 'MethodDefinition':
        if (node.computed) visit(node.key, scope)
        if (node.value) visit(node.value, scope)
        return
      case 'LabeledStatement':
        return visit(node.body, scope)
      case 'BreakStatement':
      case 'ContinueStatement':
        return
      case 'AwaitExpression':
        return fail(fn.text, node.start, 'there is nothing to wait for here', 'compute the result at once')
      case 'ImportExpression':
      case 'MetaProperty':
        return fail(fn.text, node.start, '"import" cannot be used here', 'an expression uses JavaScript alone')
      case 'ArrowFunctionExpression':
      case 'FunctionExpression':
      case 'FunctionDeclaration': {
        const inner: Scope = { names: new Set(), parent: scope }
        if (node.id) inner.names.add(node.id.name)
        if (node.type !== 'ArrowFunctionExpression') inner.names.add('arguments')
        for (const param of node.params) declare(param, inner.names)
        hoist(node.body, inner.names)
        for (const part of [...node.params, node.body]) visit(part, inner)
        return
      }
      case 'ClassExpression':
      case 'ClassDeclaration': {
        const inner: Scope = { names: new Set(node.id ? [node.id.name] : []), parent: scope }
        if (node.superClass) visit(node.superClass, inner)
        return visit(node.body, inner)
      }
      case 'BlockStatement':
      case 'StaticBlock':
      case 'SwitchStatement':
      case 'ForStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
      case 'CatchClause': {
        const inner: Scope = { names: new Set(), parent: scope }
        if (node.type === 'CatchClause' && node.param) declare(node.param, inner.names)
        for (const child of children(node)) {
          declareHere(child, inner.names)
          if (child.type === 'SwitchCase') for (const statement of child.consequent) declareHere(statement, inner.names)
        }
        for (const child of children(node)) visit(child, inner)
        return
      }
      default:
        for (const child of children(node)) visit(child, scope)
    }
  }
  if (fn.body.type === 'AssignmentExpression' && fn.body.operator === '=') {
    const [left, right] = [fn.body.left, fn.body.right].map(({ start, end }) => fn.text.slice(start, end))
    const hint = `did you mean ${left} === ${right}? A changed record is made with {...r, name: value}`
    fail(fn.text, fn.body.start, 'this assigns, and compares nothing', hint)
  }
  hoist(fn.body, top.names)
  for (const param of fn.params) if (param.type !== 'Identifier') visit(param, top)
  visit(fn.body, top)
  return { params, args }
}

/** The names that a pattern binds. */
function declare(pattern: Pattern, names: Set<string>): void {
  if (pattern.type === 'Identifier') names.add(pattern.name)
  else if (pattern.type === 'AssignmentPattern') declare(pattern.left, names)
  else if (pattern.type === 'RestElement') declare(pattern.argument, names)
  else if (pattern.type === 'ArrayPattern') {
    for (const item of pattern.elements) if (item) declare(item, names)
  } else if (pattern.type === 'ObjectPattern')
    for (const item of pattern.properties) declare(item.type === 'Property' ? item.value : item.argument, names)
}

/** Names that a statement declares for the block it stands in. */
function declareHere(node: AnyNode, names: Set<string>): void {
  if (node.type === 'VariableDeclaration') for (const { id } of node.declarations) declare(id, names)
  else if ((node.type === 'FunctionDeclaration' || node.type === 'ClassDeclaration') && node.id) names.add(node.id.name)
}

/** `var` belongs to the function, however deep it stands. */
function hoist(node: AnyNode, names: Set<string>): void {
  if (/Function|Class/.test(node.type)) return
  if (node.type === 'VariableDeclaration' && node.kind === 'var') declareHere(node, names)
  for (const child of children(node)) hoist(child, names)
}

const ELSEWHERE: Readonly<Record<string, string>> = {
  console: 'the result of the expression is what is printed',
  process: 'hand values in with --arg name=value and read args.name',
  require: 'an expression uses JavaScript alone',
  globalThis: 'an expression uses JavaScript alone',
  eval: 'data never becomes code',
  Function: 'data never becomes code',
}

function unknownName({ text }: UserFunction, { name, start }: Identifier, record: string): never {
  const own = Object.getOwnPropertyNames(Math).includes(name) ? `Math.${name}` : undefined
  const known = [...GLOBALS].find((global) => global.toLowerCase() === name.toLowerCase())
  const close = known ?? (name.length > 3 ? suggest(name, GLOBALS) : undefined)
  const hint = Object.hasOwn(ELSEWHERE, name) ? ELSEWHERE[name] : undefined
  fail(
    text,
    start,
    `there is no "${name}" here`,
    hint ?? `did you mean ${own ?? (close && /^[A-Z]/.test(name) ? close : (known ?? `${record}.${name}`))}?`,
  )
}
