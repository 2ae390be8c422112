import type { AnyNode } from 'acorn'
import { children } from './syntax.ts'

const MUTATORS = new Set(
  (
    'sort reverse push pop shift unshift splice fill copyWithin assign defineProperty defineProperties setPrototypeOf ' +
    'Reflect __defineGetter__ __defineSetter__ call apply bind'
  ).split(' '),
)
/** Methods that give a new list. */
const FRESH = new Set(
  'split map filter slice concat flat flatMap keys values entries toSorted toReversed from of match'.split(' '),
)

/** Whether a function may change the record (its parameter `record`) or what is in it. Errs on the safe side: that is slower, never different. */
export function mutates(node: AnyNode, record: string | undefined): boolean {
  switch (node.type) {
    case 'AssignmentExpression':
      if (node.left.type !== 'Identifier' || node.left.name === record) return true
      break
    case 'UpdateExpression':
      if (node.argument.type !== 'Identifier' || node.argument.name === record) return true
      break
    case 'UnaryExpression':
      if (node.operator === 'delete') return true
      break
    case 'ForInStatement':
    case 'ForOfStatement':
      if (node.left.type !== 'VariableDeclaration') return true
      break
    case 'CallExpression': {
      const { callee } = node
      if (callee.type !== 'MemberExpression') break
      if (callee.computed && callee.property.type !== 'Literal') return true
      if (callee.property.type === 'Identifier' && MUTATORS.has(callee.property.name) && isFresh(callee.object))
        return [callee.object, ...node.arguments].some((child) => mutates(child, record))
      break
    }
    case 'Identifier':
      return MUTATORS.has(node.name)
    case 'Literal':
      return typeof node.value === 'string' && MUTATORS.has(node.value)
  }
  return children(node).some((child) => mutates(child, record))
}

function isFresh(node: AnyNode): boolean {
  if (node.type === 'ArrayExpression') return true
  if (node.type !== 'CallExpression' || node.callee.type !== 'MemberExpression') return false
  const { property } = node.callee
  return property.type === 'Identifier' && FRESH.has(property.name)
}

/** Whether a variable of that name is assigned anywhere. */
export function assigns(node: AnyNode, name: string): boolean {
  const target =
    node.type === 'AssignmentExpression'
      ? node.left
      : node.type === 'UpdateExpression'
        ? node.argument
        : node.type === 'ForInStatement' || node.type === 'ForOfStatement'
          ? node.left
          : undefined
  if (target && target.type !== 'VariableDeclaration' && names(target, name)) return true
  return children(node).some((child) => assigns(child, name))
}

const names = (node: AnyNode, name: string): boolean =>
  (node.type === 'Identifier' && node.name === name) || children(node).some((child) => names(child, name))
