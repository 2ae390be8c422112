declare module 'split2' {
  import type { Transform } from 'node:stream'
  /** A stream of the lines of a text. */
  export default function split2(): Transform
}
