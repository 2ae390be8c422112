import type { SpillFile, SpillHandle } from '../../src/core/operator.ts'

/** Spill files in memory, and how many were made and closed. Threads are played by who takes a file by its handle. */
export function memorySpill(): { spill: (handle?: SpillHandle) => SpillFile; made: number; open: number } {
  const files: SpillFile[] = []
  const counter = { made: 0, open: 0, spill }
  function spill(handle?: SpillHandle): SpillFile {
    if (handle) return files[handle.fd] as SpillFile
    counter.made++
    counter.open++
    let bytes = Buffer.alloc(0)
    let closed = false
    const fd = files.length
    const file: SpillFile = {
      get handle() {
        return { fd, size: bytes.length }
      },
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
    files.push(file)
    return file
  }
  return counter
}
