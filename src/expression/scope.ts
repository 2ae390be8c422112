import type { AnyNode, Identifier, Pattern } from 'acorn'
import { suggest } from '../core/suggest.ts'
import { assigns, mutates } from './mutation.ts'
import { pathOf, propertyName, type Components, type Names } from './paths.ts'
import { children, fail, type UserFunction } from './syntax.ts'

/** What the names of a function mean. */
export interface References {
  /** Identifiers that mean the record or a path into it: the parameter, and names that stand for a part of it, `({a}) =>` or `const {a} = r`. */
  readonly record: Names
  /** Declarations that are nothing but such names. */
  readonly dropped: ReadonlySet<AnyNode>
  /** The identifiers that mean a parameter, by parameter (not shadowed). */
  readonly params: readonly ReadonlySet<AnyNode>[]
  readonly args: Names
  /** The function may change the record or what is in it: then everything is read from one parsed record. */
  readonly mutates: boolean
}

/** JavaScript's own names. Not those that run text as code or reach the process. */
const GLOBALS: ReadonlySet<string> = new Set(
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
  /** Names that stand for a path. */
  readonly paths?: Map<string, Components>
  readonly parent: Scope | undefined
}

/**
 * Finds what each name of the function means; `recordAt` is the number of the parameter that is the record, -1 for none.
 * @throws BeckError bad-program for a name that is no parameter, variable, `args` or JavaScript's own
 */
export function resolve(fn: UserFunction, recordAt: number): References {
  const params = fn.params.map(() => new Set<AnyNode>())
  const args = new Map<AnyNode, Components>()
  const record = new Map<AnyNode, Components>()
  const dropped = new Set<AnyNode>()
  const top = { names: new Set<string>(), paths: new Map<string, Components>(), parent: undefined }
  const plain = new Map<string, number>()
  const recordParam = fn.params[recordAt]
  const mutated = mutates(fn.body, recordParam?.type === 'Identifier' ? recordParam.name : undefined)
  fn.params.forEach((param, index) => {
    const paths = index === recordAt && !mutated ? namedPaths(param, []) : undefined
    if (param.type === 'Identifier') plain.set(param.name, index)
    else if (paths && !paths.some(([name]) => assigns(fn.body, name))) {
      for (const [name, path] of paths) top.paths.set(name, path)
      dropped.add(param)
    } else declare(param, top.names)
  })

  const reference = (node: Identifier, scope: Scope): void => {
    for (let at: Scope | undefined = scope; at; at = at.parent) {
      const path = at.paths?.get(node.name)
      if (path) return void record.set(node, path)
      if (at.names.has(node.name)) return
    }
    const param = plain.get(node.name)
    if (param !== undefined) {
      params[param]?.add(node)
      if (param === recordAt) record.set(node, [])
    } else if (node.name === 'args') args.set(node, [])
    else if (!GLOBALS.has(node.name)) unknownName(fn, node, plain.keys().next().value ?? 'r')
  }
  /** Takes `const {a, b} = r` out of a block, where the names can stand for the paths. */
  const nameParts = (statement: AnyNode, scope: Scope): void => {
    if (mutated || statement.type !== 'VariableDeclaration' || statement.kind !== 'const') return
    const found: [string, Components][] = []
    for (const { id, init } of statement.declarations) {
      if (!init || !/^(Identifier|MemberExpression|ChainExpression)$/.test(init.type)) return
      visit(init, scope)
      const path = pathOf(init, record)
      const paths = path && namedPaths(id, path)
      if (!paths) return
      found.push(...paths)
    }
    for (const [name, path] of found) scope.paths?.set(name, path)
    dropped.add(statement)
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
        const inner: Scope = { names: new Set(), paths: new Map(), parent: scope }
        if (node.type === 'CatchClause' && node.param) declare(node.param, inner.names)
        for (const child of children(node)) {
          declareHere(child, inner.names)
          if (child.type === 'SwitchCase') for (const statement of child.consequent) declareHere(statement, inner.names)
        }
        if (node.type === 'BlockStatement') for (const child of node.body) nameParts(child, inner)
        for (const child of children(node)) if (!dropped.has(child)) visit(child, inner)
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
  for (const param of fn.params) if (param.type !== 'Identifier' && !dropped.has(param)) visit(param, top)
  visit(fn.body, top)
  return { record, dropped, params, args, mutates: mutated }
}

/** The names that a pattern binds to paths below `path`; undefined when it does more than that. */
function namedPaths(pattern: Pattern, path: Components): [string, Components][] | undefined {
  if (pattern.type === 'Identifier') return [[pattern.name, path]]
  if (pattern.type !== 'ObjectPattern') return undefined
  const found: [string, Components][] = []
  for (const item of pattern.properties) {
    if (item.type !== 'Property' || item.computed) return undefined
    const inner = namedPaths(item.value, [...path, propertyName(item.key)])
    if (!inner) return undefined
    found.push(...inner)
  }
  return found
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
