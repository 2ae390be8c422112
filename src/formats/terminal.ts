import { escapeControls } from '../core/excerpt.ts'
import { fromBinary, toBinary } from './binary.ts'

/** Text (binary) that does nothing to a terminal but break lines and tabulate. */
export const forTerminal = (text: string): string =>
  toBinary(
    fromBinary(text)
      .split(/([\n\t])/)
      .map((part) => (part === '\n' || part === '\t' ? part : escapeControls(part)))
      .join(''),
  )
