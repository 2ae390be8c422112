import { ReferenceScanner } from './reference.ts'
import type { Scanner, ScannerOptions } from './scanner.ts'

/** The two implementations of one behaviour; `BECK_SCANNER` names one. */
export type ScannerName = Scanner['name']

/** Makes a scanner: the readable one or the fast one. */
export function createScanner(options: ScannerOptions, _which: ScannerName = 'wasm'): Scanner {
  return new ReferenceScanner(options)
}
