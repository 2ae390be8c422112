import type { SpillFile } from '../../src/core/operator.ts'

/** Spill files in memory, and how many were made and closed. */
export function memorySpill(): { spill: () => SpillFile; made: number; open: number } {
  const counter = { made: 0, open: 0, spill }
  function spill(): SpillFile {
    counter.made++
    counter.open++
    let bytes = Buffer.alloc(0)
    let closed = false
    return {
      get size() {
        return bytes.length
      },
      append(more) {
        bytes = Buffer.concat([bytes, more])
      },
      read(into, at) {
        if (closed) throw new Error('read after close')
        return bytes.copy(into, 0, at, at + into.length)
      },
      close() {
        closed = true
        counter.open--
      },
    }
  }
  return counter
}
