import type { FieldPath } from '../core/field-path.ts'

/** The wanted paths as a tree, so that a line is walked once for all of them. */
export interface FieldNode {
  readonly members: Map<string, FieldNode>
  /** The same for elements of an array. As in JavaScript `x[0]` and `x["0"]` are one: both find an element and a member. */
  readonly elements: Map<number, FieldNode>
  /** Fields whose path ends here. */
  readonly fields: number[]
  /** Fields whose path ends here or below. */
  readonly below: number[]
}

const emptyNode = (): FieldNode => ({ members: new Map(), elements: new Map(), fields: [], below: [] })

/** Field `i` of the tree is `paths[i]`. */
export function fieldTree(paths: readonly FieldPath[]): FieldNode {
  const root = emptyNode()
  paths.forEach((path, field) => {
    let node = root
    node.below.push(field)
    for (const part of path) {
      const name = String(part)
      let next = node.members.get(name)
      if (!next) {
        next = emptyNode()
        node.members.set(name, next)
        if (/^(?:0|[1-9]\d{0,9})$/.test(name)) node.elements.set(Number(name), next)
      }
      node = next
      node.below.push(field)
    }
    node.fields.push(field)
  })
  return root
}
