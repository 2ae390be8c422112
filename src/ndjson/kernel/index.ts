export { plainAscii, plainLines } from './plain'
export { scan } from './scan'
export { fold } from './checksum'
export { alikeBytes, scanAlike } from './alike'
export { decimals, equalsString, kinds, numbers } from './columns'
export { append, intern, internSpelling, joined, rehash } from './intern'
export { keyLines, keyLinesBytes } from './key-lines'
export { chooseParts, scatterKeys } from './key-parts'
export { exportKeys, order, orderOf, spansOfEnds, textBytes } from './key-state'
export { compareBytes } from './masks'
export { hasMembers, tailOf } from './members'
export { mergedBytes, mergeLines, sinkRun } from './merge'
export { times } from './times'
export { copiedBytes, gatherOrdered, gatherPieces, listLines, seenBytes, splice } from './lines'
export { gather, render, renderedBytes } from './output'
export { partitionRows, scatter } from './scatter'
export { textDone, textRecords } from './text'

/** Where the memory begins that JavaScript may use. */
export function heapBase(): usize {
  return __heap_base
}
