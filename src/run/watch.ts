import type { Board, Reading } from '../cli/board.ts'
import { Meter } from '../pipeline/meter.ts'
import type { ByteSource } from '../pipeline/source.ts'
import type { CommandStage } from './plan.ts'

/** Sees what the stages of a run in this process do: for people who look on, or for who asks at the end. */
export class Watch {
  readonly meter: Meter
  readonly #stages: readonly CommandStage[]
  readonly #first: number
  /** Who reads them does not say what they give: the next one knows. */
  readonly #driven = new Set<number>()
  readonly #board: Board | undefined
  readonly #hide: (() => void) | undefined
  #counted: ReadonlySet<number> = new Set()
  #input: Reading['input']
  #behind: number | undefined

  /** @param stages all of them @param first the one whose input is told of @param out count what they give out, too */
  constructor(stages: readonly CommandStage[], board: Board | undefined, first: number, out: boolean) {
    this.#stages = stages
    this.#first = first
    this.meter = new Meter(stages.length, { out, onChange: () => board?.show(this.readings) })
    this.#board = board
    this.#hide = board?.keepShown(this.readings)
  }

  /** Which stages have records of their own. The planner leaves others out: they have those of the next. */
  count(stages: Iterable<number>): void {
    this.#counted = new Set([...this.#counted, ...stages])
  }

  /** Lines for people stand on the terminal. */
  get isShown(): boolean {
    return this.#board !== undefined
  }

  /** A stage reads by itself. */
  drives(stage: number): void {
    this.#driven.add(stage)
  }

  /** The input of the first stage. */
  readonly reads = (source: Pick<ByteSource, 'name' | 'size' | 'consumed'>): void => {
    if (source.size) this.#input = { name: source.name, part: source.consumed() / source.size }
  }

  /** So many records of the first stage's topics are not read yet. */
  readonly behind = (records: number): void => {
    this.#behind = records
  }

  readonly readings = (): readonly Reading[] => {
    const last = this.#stages.length - 1
    const { meter } = this
    return this.#stages.map(({ name, role }, index) => {
      let from = index
      while (from < last && !this.#counted.has(from)) from++
      const watermark = meter.watermarks[index]
      const made = role === 'tool' || role === 'decoder'
      return {
        name,
        // What goes into a program is not counted.
        ...(role !== 'process' && { records: made ? meter.out(index) : meter.in(from) }),
        ...(meter.shared.out && this.#outOf(index, from)),
        ...(watermark !== undefined && { watermark }),
        ...(index === this.#first && this.#input && { input: this.#input }),
        ...(index === this.#first && this.#behind !== undefined && { behind: this.#behind }),
      }
    })
  }

  #outOf(index: number, from: number): Pick<Reading, 'out'> {
    if (this.#driven.has(index)) return this.meter.out(index) > 0 ? { out: this.meter.out(index) } : {}
    return { out: from === index ? this.meter.out(index) : this.meter.in(from) }
  }

  close(): void {
    this.#hide?.()
    this.#board?.last(this.readings)
  }
}
