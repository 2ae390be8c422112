export { scan } from './scan'
export { decimals, equalsString, kinds, numbers } from './columns'
export { exportKeys, intern, internSpelling, joined, rehash } from './intern'
export { times } from './times'
export { copiedBytes, gatherPieces, splice } from './lines'
export { gather, render, renderedBytes } from './output'

/** Where the memory begins that JavaScript may use. */
export function heapBase(): usize {
  return __heap_base
}
