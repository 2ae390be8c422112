import type { RecordBatch } from '../core/batch.ts'
import type { Scanner } from '../ndjson/scanner.ts'

/**
 * Scans stored lines. `visit` gets each batch and, per row, the index of its line; a line that is odd now (it was valid when it was
 * appended) is no row, so it is left out.
 */
export function scanLines(
  scanner: Scanner,
  lines: Uint8Array,
  visit: (batch: RecordBatch, indices: Uint32Array) => void,
): void {
  scanner.begin({ file: '', base: 0, lineAt: () => 1 })
  let line = 0
  for (let at = 0, last = false; !last;) {
    const room = scanner.room()
    const piece = lines.subarray(at, at + room.length)
    room.set(piece)
    at += piece.length
    last = piece.length === 0
    const { batch, bad } = scanner.scan(piece.length, last)
    const indices = new Uint32Array(batch.count)
    let next = 0
    for (let row = 0; row < batch.count; row++) {
      for (; (bad[next]?.row ?? Infinity) <= row; next++) line++
      indices[row] = line++
    }
    line += bad.length - next
    if (batch.count > 0) visit(batch, indices)
  }
}
