/** How many lines end in these bytes, or in this text. */
export function countLines(lines: Uint8Array | string): number {
  const next = (from: number): number =>
    typeof lines === 'string' ? lines.indexOf('\n', from) : lines.indexOf(10, from)
  let count = 0
  for (let at = next(0); at >= 0; at = next(at + 1)) count++
  return count
}
