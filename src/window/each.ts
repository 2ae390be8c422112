import { NONE } from '../aggregate/aggregate.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import type { Engine, EngineState, Rows } from './engine.ts'
import { Lines } from './lines.ts'
import { firstWindow, lastWindow, type Panes } from './panes.ts'
import { withWindow } from './records.ts'
import { windowMember } from './results.ts'

/** `each` with tumbling and hopping windows: a record goes on at once, one line for each of its windows that it is not late for. No state. */
export class EachAligned implements Engine {
  watermark: EventTime = -Infinity
  readonly #panes: Panes
  readonly #latenessMs: number
  readonly #delayMs: number
  readonly #field: number
  readonly #lines = new Lines()

  /** @param field index of `window` among the batch's fields */
  constructor(panes: Panes, latenessMs: number, delayMs: number, field: number) {
    this.#panes = panes
    this.#latenessMs = latenessMs
    this.#delayMs = delayMs
    this.#field = field
  }

  process(batch: RecordBatch, rows: Rows, out: Collector): void {
    this.#lines.open(out)
    const { advance, size } = this.#panes
    for (let row = 0; row < batch.count; row++) {
      if (rows.slots[row] === NONE) continue
      const time = rows.times[row] as number
      const pane = this.#panes.paneOf(time)
      const last = lastWindow(this.#panes, pane)
      let late = firstWindow(this.#panes, pane) <= last
      for (let window = firstWindow(this.#panes, pane); window <= last; window += advance) {
        const end = this.#panes.startOf(window + size)
        if (end + this.#latenessMs <= this.watermark) continue
        late = false
        const member = windowMember(this.#panes.startOf(window), end)
        this.#lines.text(withWindow(batch, row, this.#field, member)).end()
      }
      if (late) {
        rows.late[row] = 1
        rows.lateCount++
      } else this.watermark = Math.max(this.watermark, time - this.#delayMs)
    }
    this.#lines.flush()
  }

  advance(watermark: EventTime): void {
    this.watermark = Math.max(this.watermark, watermark)
  }

  emitChanged(): void {}
  snapshot(): EngineState {
    return { watermark: this.watermark, slots: new Uint32Array(0), slotsEnd: 0, own: undefined }
  }
  restore({ watermark }: EngineState): void {
    this.watermark = watermark
  }
  restored(): void {}
  markKeys(): void {}
  renumberKeys(): void {}
}
