import type {
  AnyNode,
  ArrowFunctionExpression,
  CallExpression,
  Expression,
  FunctionExpression,
  LogicalExpression,
  ObjectExpression,
} from 'acorn'
import type { Projection } from '../core/field-path.ts'
import { toBinary } from './json.ts'
import { asField, asksLength, pathOf, propertyName, rooted, softAt, type Components, type Names } from './paths.ts'
import type { References } from './scope.ts'
import { children, type UserFunction } from './syntax.ts'

/** What a parameter of the user's function stands for. */
export type Role = 'record' | 'index' | 'value'

/** A field that the generated code reads by its number. */
export interface FieldUse {
  /** Index in the projection. */
  readonly field: number
  /** Read as a number: then by column. */
  numeric: boolean
  readonly path: Components
  /** If the field is missing: the field to look in instead (index in the projection), and the path there. */
  readonly soft?: { readonly from: number; readonly path: Components }
}

export interface Generated {
  /** Begins every name in the source that is not the user's. */
  readonly own: string
  /** The source of a factory `(h, g, args) => (…values) => result`: `h` is the Row, `g` is `get`. */
  readonly source: string
  readonly fields: readonly FieldUse[]
  /** Names of the object literals, as `"name":` in latin1 ("binary"). */
  readonly shapes: readonly (readonly ShapeMember[])[]
}
export interface ShapeMember {
  readonly name: string
  readonly prefix: string
  /** For a literal that begins with `...r`: the index of that member in the projection. */
  readonly field: number
}

export interface GenerateOptions {
  readonly fn: UserFunction
  readonly references: References
  readonly roles: readonly Role[]
  readonly projection: Projection
  /** True: the record is parsed whole and everything is read from it. */
  readonly whole: boolean
  /** False: only the value is asked for (truthiness, numbers), not its JSON. */
  readonly result: boolean
}

/** Generates JavaScript from a user's function: reads of fields become reads of spans and columns, results are handed on as texts. */
export function generate(options: GenerateOptions): Generated {
  return new Generator(options).program()
}

class Generator {
  private readonly options: GenerateOptions
  private readonly text: string
  private readonly records: Names
  /** Begins every name that is ours. */
  private readonly own: string
  private readonly fields = new Map<string, FieldUse>()
  private readonly locals = new Set<FieldUse>()
  private readonly shapes: ShapeMember[][] = []
  private readonly numeric: ReadonlySet<AnyNode>
  private recordUsed = false
  /** Functions whose return values go to the output. */
  private readonly resultFunctions = new Set<AnyNode>()

  constructor(options: GenerateOptions) {
    this.options = options
    this.text = options.fn.text
    this.records = options.references.record
    this.own = ownPrefix(this.text)
    this.numeric = numericNodes(options.fn.body)
  }

  program(): Generated {
    const { fn, roles, references, result } = this.options
    const { own } = this
    const params: string[] = []
    let unpack = ''
    fn.params.forEach((param, index) => {
      if (roles[index] !== 'record') params.push(param.type === 'Identifier' ? param.name : this.value(param))
      else if (param.type !== 'Identifier' && !references.dropped.has(param))
        unpack = `let ${this.value(param)} = ${this.record()} ?? {};`
    })
    let body: string
    if (fn.body.type === 'BlockStatement') {
      if (result) this.resultFunctions.add(fn.body)
      body = this.value(fn.body)
    } else body = `return ${result ? this.result(fn.body) : this.value(fn.body)}`
    const reads = [...this.locals].map(
      (use) => `const ${own}${use.field} = ${own}h.${use.numeric ? 'number' : 'value'}(${use.field});`,
    )
    const record = this.recordUsed ? `let ${own}r = ${own}h.record();` : ''
    return {
      own,
      source: `"use strict"; return (${params.join(', ')}) => { ${record} ${reads.join(' ')} ${unpack}\n${body}\n}`,
      fields: [...this.fields.values()],
      shapes: this.shapes,
    }
  }

  private record(): string {
    this.recordUsed = true
    return `${this.own}r`
  }

  private use(path: Components, numeric: boolean): FieldUse {
    const key = JSON.stringify(path)
    let use = this.fields.get(key)
    if (!use) {
      const { projection } = this.options
      const at = softAt(path)
      const soft =
        at === undefined ? undefined : { from: this.use(path.slice(0, at), false).field, path: path.slice(at) }
      use = { field: projection.add(asField(path)), numeric: false, path, ...(soft && { soft }) }
      this.fields.set(key, use)
    }
    use.numeric ||= numeric
    return use
  }

  private pathValue(path: Components, node: AnyNode): string {
    if (path.length === 0) return this.record()
    if (asksLength(path)) return `${this.pathValue(path.slice(0, -1), node)}?.length`
    if (this.options.whole) {
      return path.reduce((inner: string, part) => `${this.own}g(${inner}, ${JSON.stringify(part)})`, this.record())
    }
    const use = this.use(path, this.numeric.has(node))
    this.locals.add(use)
    return `${this.own}${use.field}`
  }

  /** A path that is handed on: its text. */
  private pathText(path: Components, node: AnyNode): string {
    if (asksLength(path)) return this.pathValue(path, node)
    if (this.options.whole) {
      return path.length
        ? `${this.own}h.member(${this.record()}, ${JSON.stringify(path)})`
        : `${this.own}h.whole(${this.record()})`
    }
    return path.length ? `${this.own}h.text(${this.use(path, false).field})` : `${this.own}h.line()`
  }

  /** The node as a value for JavaScript to compute with. */
  private value(node: AnyNode): string {
    const path = pathOf(node, this.records)
    if (path) return this.pathValue(path, node)
    if (this.options.references.dropped.has(node)) return ';'
    switch (node.type) {
      case 'ChainExpression':
        return this.value(node.expression)
      case 'MemberExpression':
        if (!rooted(node.object, this.records)) break
        return `${this.value(node.object)}?.${node.computed ? `[${this.value(node.property)}]` : this.source(node.property)}`
      case 'CallExpression':
        return this.call(node, (argument) => this.operand(argument))
      case 'Property':
        if (node.shorthand && node.value.type === 'Identifier')
          return this.records.has(node.value) ? `${node.value.name}: ${this.value(node.value)}` : node.value.name
        // To JavaScript this would be the prototype.
        if (!node.computed && !node.method && node.kind === 'init' && propertyName(node.key) === '__proto__')
          return `["__proto__"]: ${this.operand(node.value)}`
        break
      case 'ObjectExpression':
        return this.literal(node) ?? this.copy(node)
      case 'AssignmentExpression':
        return `${this.target(node.left)} ${node.operator} ${this.operand(node.right)}`
      case 'UpdateExpression':
        return node.prefix
          ? `${node.operator}${this.target(node.argument)}`
          : `${this.target(node.argument)}${node.operator}`
      case 'UnaryExpression':
        if (node.operator === 'delete') return `delete ${this.target(node.argument)}`
        break
      case 'ReturnStatement':
        if (node.argument && this.returning) return `return ${this.result(node.argument)};`
        break
      case 'ArrowFunctionExpression':
      case 'FunctionExpression':
      case 'FunctionDeclaration':
      case 'ClassExpression':
      case 'ClassDeclaration':
      case 'BlockStatement': {
        const outer = this.returning
        if (node.type !== 'BlockStatement') this.returning = false
        if (this.resultFunctions.has(node)) this.returning = true
        const text = this.copy(node)
        this.returning = outer
        return text
      }
    }
    return this.copy(node)
  }
  private returning = false

  /** The same where a comma or a lower precedence would be misread: the parentheses around a node are not part of it. */
  private operand(node: AnyNode): string {
    return BARE.has(node.type) ? this.value(node) : `(${this.value(node)})`
  }

  /** What is assigned to: as it stands, on the record itself. */
  private target(node: AnyNode): string {
    if (node.type === 'ChainExpression') return this.target(node.expression)
    if (node.type === 'MemberExpression') {
      const name = node.computed ? `[${this.value(node.property)}]` : `.${this.source(node.property)}`
      return `${this.target(node.object)}${name}`
    }
    if (this.records.get(node)?.length === 0) return this.record()
    return node.type === 'Identifier' ? node.name : this.value(node)
  }

  private call(node: CallExpression, argument: (node: AnyNode) => string): string {
    const { callee } = node
    const args = node.arguments.map((item) => (item.type === 'SpreadElement' ? this.value(item) : argument(item)))
    const list = `${node.optional ? '?.' : ''}(${args.join(', ')})`
    if (callee.type === 'MemberExpression' && rooted(callee.object, this.records)) {
      const name = callee.computed ? `[${this.value(callee.property)}]` : this.source(callee.property)
      return `${this.value(callee.object)}?.${name}${list}`
    }
    return `${this.operand(callee)}${list}`
  }

  private source(node: AnyNode): string {
    return this.text.slice(node.start, node.end)
  }

  /** The node's own text with the nodes below it generated. */
  private copy(node: AnyNode): string {
    let out = ''
    let at = node.start
    for (const child of this.below(node)) {
      out += this.text.slice(at, child.start) + this.value(child)
      at = child.end
    }
    return out + this.text.slice(at, node.end)
  }

  /** Children that are expressions or statements; not the plain names of members and labels. */
  private below(node: AnyNode): AnyNode[] {
    if (
      (node.type === 'Property' || node.type === 'MethodDefinition' || node.type === 'PropertyDefinition') &&
      !node.computed
    )
      return node.value ? [node.value] : []
    if (node.type === 'MemberExpression' && !node.computed) return [node.object]
    return children(node)
  }

  /** The node as a result: what is only handed on goes by its text, so that its bytes stay. */
  private result(node: Expression): string {
    const path = pathOf(node, this.records)
    if (path) return this.pathText(path, node)
    switch (node.type) {
      case 'ConditionalExpression':
        return `(${this.operand(node.test)} ? ${this.result(node.consequent)} : ${this.result(node.alternate)})`
      case 'LogicalExpression':
        return this.logical(node)
      case 'SequenceExpression': {
        const last = node.expressions.at(-1) as Expression
        return `(${[...node.expressions.slice(0, -1).map((part) => this.operand(part)), this.result(last)].join(', ')})`
      }
      case 'ArrayExpression':
        return `[${node.elements
          .map((item) => (!item ? '' : item.type === 'SpreadElement' ? this.value(item) : this.result(item)))
          .join(', ')}${node.elements.at(-1) === null ? ',' : ''}]`
      case 'ObjectExpression':
        return this.object(node)
      case 'CallExpression': {
        const { callee } = node
        const maps = callee.type === 'MemberExpression' && !callee.computed && this.source(callee.property) === 'map'
        return this.call(node, (item) => (maps && isFunction(item) ? this.resultFunction(item) : this.operand(item)))
      }
    }
    return `(${this.value(node)})`
  }

  private resultFunction(fn: ArrowFunctionExpression | FunctionExpression): string {
    if (fn.body.type === 'BlockStatement') {
      this.resultFunctions.add(fn.body)
      return this.value(fn)
    }
    return `(${fn.params.map((param) => this.value(param)).join(', ')}) => ${this.result(fn.body)}`
  }

  /** `a ?? b ?? c`: a path that is chosen is handed on, the others are not touched. */
  private logical(node: LogicalExpression): string {
    const { operator } = node
    const operands: Expression[] = [node.right]
    let left = node.left
    while (left.type === 'LogicalExpression' && left.operator === operator) {
      operands.unshift(left.right)
      left = left.left
    }
    operands.unshift(left as Expression)
    return operands.reduceRight((rest: string | undefined, operand) => {
      if (rest === undefined) return this.result(operand)
      const value = this.value(operand)
      if (!pathOf(operand, this.records)) return `((${value}) ${operator} ${rest})`
      const text = this.result(operand)
      if (operator === '??') return `((${value}) == null ? ${rest} : ${text})`
      return operator === '||' ? `((${value}) ? ${text} : ${rest})` : `((${value}) ? ${rest} : ${text})`
    }, undefined) as string
  }

  /** An object literal that JavaScript goes on with. What it takes from records keeps its spelling, should it be handed on after all. */
  private literal({ properties }: ObjectExpression): string | undefined {
    const items: string[] = []
    let keeps = false
    for (const property of properties) {
      if (property.type === 'SpreadElement') {
        items.push('undefined', this.operand(property.argument), 'undefined')
        keeps = true
      } else if (property.kind !== 'init' || property.method) return undefined
      else {
        const path = pathOf(property.value, this.records)
        const name = property.computed ? this.operand(property.key) : JSON.stringify(propertyName(property.key))
        items.push(name, this.operand(property.value), path ? this.pathText(path, property.value) : 'undefined')
        keeps ||= path !== undefined
      }
    }
    return keeps ? `${this.own}h.literal([${items.join(', ')}])` : undefined
  }

  private object(node: ObjectExpression): string {
    const { own } = this
    const members: { name: string; value: string; spread: boolean }[] = []
    for (const property of node.properties) {
      if (property.type === 'SpreadElement') {
        members.push({ name: 'undefined', value: this.result(property.argument), spread: true })
      } else if (property.kind !== 'init' || property.method) return `(${this.copy(node)})`
      else {
        const name = property.computed ? this.operand(property.key) : JSON.stringify(propertyName(property.key))
        members.push({ name, value: this.result(property.value), spread: false })
      }
    }
    const first = node.properties[0]
    const record =
      !this.options.whole && first?.type === 'SpreadElement' && pathOf(first.argument, this.records)?.length === 0
    const plain = record ? members.slice(1) : members
    const simple =
      plain.every(({ spread, name }) => !spread && name.startsWith('"')) &&
      node.properties.every((property) => property.type !== 'Property' || !property.computed) &&
      new Set(plain.map(({ name }) => name)).size === plain.length
    if (!simple) {
      const parts = members.map(({ name, value }) => `${name}, ${value}`)
      return `${own}h.build([${parts.join(', ')}])`
    }
    const shape = plain.map(({ name: quoted }): ShapeMember => {
      const name = JSON.parse(quoted) as string
      const field = record ? this.options.projection.add([name]) : -1
      return { name, prefix: `${toBinary(quoted)}:`, field }
    })
    this.shapes.push(shape)
    const values = plain.map(({ value }) => value).join(', ')
    return `${own}h.${record ? 'spread' : 'object'}(${this.shapes.length - 1}, [${values}])`
  }
}

/** What no name in the text begins with. */
function ownPrefix(text: string): string {
  let own = '$'
  while (text.includes(own)) own += '$'
  return own
}

const isFunction = (node: AnyNode): node is ArrowFunctionExpression | FunctionExpression =>
  (node.type === 'ArrowFunctionExpression' || node.type === 'FunctionExpression') && !node.async && !node.generator

/** Nodes that can stand anywhere as they are. */
const BARE = new Set(['Identifier', 'Literal', 'MemberExpression', 'CallExpression', 'TemplateLiteral', 'Super'])

const ARITHMETIC = new Set(['-', '*', '/', '%', '**', '<', '>', '<=', '>='])

/** Nodes that are used as numbers: a hint to read them by column, never a difference. */
function numericNodes(body: AnyNode): ReadonlySet<AnyNode> {
  const found = new Set<AnyNode>()
  const visit = (node: AnyNode): void => {
    if (node.type === 'BinaryExpression' && ARITHMETIC.has(node.operator)) found.add(node.left).add(node.right)
    if (node.type === 'UnaryExpression' && (node.operator === '-' || node.operator === '+')) found.add(node.argument)
    if (node.type === 'CallExpression' && node.callee.type === 'MemberExpression') {
      const { object } = node.callee
      if (object.type === 'Identifier' && object.name === 'Math') for (const item of node.arguments) found.add(item)
    }
    for (const child of children(node)) visit(child)
  }
  visit(body)
  return found
}
