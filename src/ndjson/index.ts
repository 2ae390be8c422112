import { ReferenceScanner } from './reference.ts'
import type { Scanner, ScannerOptions } from './scanner.ts'
import { WasmScanner } from './wasm.ts'

/** The two implementations of one behaviour; `BECK_SCANNER` names one. */
export type ScannerName = Scanner['name']

/** Makes a scanner: the readable one or the fast one. */
export function createScanner(options: ScannerOptions, which: ScannerName = 'wasm'): Scanner {
  return which === 'reference' ? new ReferenceScanner(options) : new WasmScanner(options)
}

export { useVisibleMemory, visibleMemory } from './heap.ts'
