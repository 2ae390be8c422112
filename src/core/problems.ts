import type { Problem } from './operator.ts'

/** A line beyond `--max-line`, said alike by all who read lines. */
export const lineTooLong = (maxLineBytes: number): Problem => ({
  problem: `the line is longer than ${maxLineBytes} bytes`,
  hint: 'allow longer lines with --max-line 64MiB, or keep them apart with --dead-letter FILE',
})
