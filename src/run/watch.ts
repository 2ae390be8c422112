import type { Board, Reading } from '../cli/board.ts'
import { Meter } from '../pipeline/meter.ts'
import type { ByteSource } from '../pipeline/source.ts'

/** Shows people what the stages of a run in this process do. */
export class Watch {
  readonly meter: Meter
  readonly #names: readonly string[]
  readonly #first: number
  readonly #hide: () => void
  #counted: ReadonlySet<number> = new Set()
  #input: Reading['input']
  #behind: number | undefined

  /** @param names of all stages @param first the one whose input is told of */
  constructor(names: readonly string[], board: Board, first: number) {
    this.#names = names
    this.#first = first
    this.meter = new Meter(names.length, () => board.show(this.#readings))
    this.#hide = board.keepShown(this.#readings)
  }

  /** Which stages have records of their own. The planner leaves others out: they have those of the next. */
  count(stages: Iterable<number>): void {
    this.#counted = new Set([...this.#counted, ...stages])
  }

  /** The input of the first stage. */
  readonly reads = (source: ByteSource): void => {
    if (source.size) this.#input = { name: source.name, part: source.consumed() / source.size }
  }

  /** So many records of the first stage's topics are not read yet. */
  readonly behind = (records: number): void => {
    this.#behind = records
  }

  readonly #readings = (): readonly Reading[] => {
    const last = this.#names.length - 1
    return this.#names.map((name, index) => {
      let from = index
      while (from < last && !this.#counted.has(from)) from++
      const watermark = this.meter.watermarks[index]
      return {
        name,
        records: this.meter.records(from),
        ...(watermark !== undefined && { watermark }),
        ...(index === this.#first && this.#input && { input: this.#input }),
        ...(index === this.#first && this.#behind !== undefined && { behind: this.#behind }),
      }
    })
  }

  close(): void {
    this.#hide()
  }
}
