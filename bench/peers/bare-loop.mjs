// What one would write by hand: JSON.parse, change, JSON.stringify, line by line over large blocks.
import { openSync, readSync, writeSync } from 'node:fs'

const input = openSync(process.argv[2], 'r')
const block = Buffer.allocUnsafe(1 << 20)
let rest = ''
let output = ''
for (let size; (size = readSync(input, block)) > 0;) {
  const lines = (rest + block.latin1Slice(0, size)).split('\n')
  rest = lines.pop()
  for (const line of lines) {
    const r = JSON.parse(line)
    output += JSON.stringify({ ...r, kb: Math.round(r.bytes / 1024) }) + '\n'
  }
  writeSync(1, output, null, 'latin1')
  output = ''
}
