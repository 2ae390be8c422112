import { writeSync } from 'node:fs'

/** What people are shown of a stage, or of a phase of a job. Plain data: processes send it to each other. */
export interface Reading {
  readonly name: string
  /** Undefined where nobody counts: a program behind `via`. */
  readonly records?: number
  /** Records that it has given out, where these are counted. */
  readonly out?: number
  /** Of event time, in ms. */
  readonly watermark?: number
  /** Records of a topic that are not read yet. */
  readonly behind?: number
  /** The input that is being read, and how much of it has been, from 0 to 1. */
  readonly input?: { readonly name: string; readonly part: number }
  readonly tasks?: {
    readonly all: number
    readonly done: number
    readonly running: number
    readonly retried: number
  }
}

/** How often readings are shown, and for how long a run has to last until they are. */
const SHOW_MS = 200
const FIRST_MS = 500
/** Rates are those of the last second or more. */
const RATE_MS = 1000

/** Shows what stages do, a line each, now and then. */
export class Board {
  readonly #show: (readings: readonly Reading[]) => void
  readonly #last: boolean
  #next = Date.now() + FIRST_MS

  /** @param show is given all readings @param last the last ones, too: they are kept, not only looked at */
  constructor(show: (readings: readonly Reading[]) => void, last = false) {
    this.#show = show
    this.#last = last
  }

  /** Shows readings where it is time for it. They are only asked for then. */
  show(readings: () => readonly Reading[]): void {
    const now = Date.now()
    if (now < this.#next) return
    this.#next = now + SHOW_MS
    this.#show(readings())
  }

  /** All is over: nothing changes any more. */
  last(readings: () => readonly Reading[]): void {
    if (this.#last) this.#show(readings())
  }

  /** Calls `show` also while nothing happens, as long as something else keeps the process alive. Returns what ends it. */
  keepShown(readings: () => readonly Reading[]): () => void {
    const timer = setInterval(() => this.show(readings), SHOW_MS).unref()
    return () => clearInterval(timer)
  }
}

/** Makes lines of readings, with the rates that follow from those before. */
export function linesOf(): (readings: readonly Reading[]) => string[] {
  const began = Date.now()
  const samples = new Map<string, { at: number; records: number; rate: number }>()
  const rateOf = (key: string, records: number): number => {
    const now = Date.now()
    // The first rate is that since the beginning.
    const sample = samples.get(key) ?? { at: began, records: 0, rate: undefined }
    if (sample.rate !== undefined && now - sample.at < RATE_MS) return sample.rate
    const rate = ((records - sample.records) * 1000) / Math.max(now - sample.at, 1)
    samples.set(key, { at: now, records, rate })
    return rate
  }
  return (readings) =>
    readings.map((reading, index) => {
      const { name, records, watermark, behind, input, tasks } = reading
      const rate = records === undefined ? undefined : rateOf(`${index} ${name}`, records)
      const number = `${index + 1}`.padStart(`${readings.length}`.length)
      const parts = [
        `${number} ${name.padEnd(8)}`,
        ...(records === undefined || rate === undefined
          ? []
          : [`${records.toLocaleString('en').padStart(12)} records`, `${short(rate)}/s`.padStart(7)]),
        ...(tasks
          ? [
              `${tasks.done} of ${tasks.all} tasks done, ${tasks.running} running${tasks.retried > 0 ? `, ${tasks.retried} again` : ''}`,
            ]
          : []),
        ...(input ? [`${input.name} ${Math.floor(input.part * 100)} %`] : []),
        ...(behind === undefined ? [] : [`lag ${behind.toLocaleString('en')}`]),
        ...(watermark === undefined || !Number.isFinite(watermark)
          ? []
          : [`watermark ${new Date(watermark).toISOString().replace('.000Z', 'Z')}`]),
      ]
      return parts.join('  ').trimEnd()
    })
}

/** `12`, `3.4k`, `120k`, `1.2M`. */
function short(n: number): string {
  const [unit, by] = n >= 1e9 ? ['G', 1e9] : n >= 1e6 ? ['M', 1e6] : n >= 1e3 ? ['k', 1e3] : ['', 1]
  const scaled = n / by
  return `${scaled < 10 && by > 1 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`
}

/** Where a process sends its readings, in place of showing them: a descriptor, and who it is to its parent. */
export interface Upward {
  readonly fd: number
  readonly id: number
  /** Some look on there. */
  readonly people: boolean
  /** It wants to know what is given out, too. */
  readonly out: boolean
}
/** Of a process that a run has started. Taken out of the environment, since the processes that it starts are others. */
export const PROGRESS = 'BECK_PROGRESS'
export const upwardWord = ({ fd, id, people, out }: Upward): string =>
  `${fd}:${id}${people ? ':people' : ''}${out ? ':out' : ''}`

export function takeUpward(env: NodeJS.ProcessEnv): Upward | undefined {
  const known = /^(\d+):(\d+)(:people)?(:out)?$/.exec(env[PROGRESS] ?? '')
  delete env[PROGRESS]
  if (!known) return undefined
  const [, fd, id, people, out] = known
  return { fd: Number(fd), id: Number(id), people: people !== undefined, out: out !== undefined }
}

/** Sends readings up, a line of JSON each time. A parent that is gone, or does not listen, is no matter. */
export function send({ fd, id }: Upward, readings: readonly Reading[]): void {
  try {
    writeSync(fd, `${JSON.stringify([id, readings])}\n`)
  } catch {
    // What runs goes on.
  }
}

/** Takes what processes send: the bytes of all of them, cut anywhere. @param onOther is given lines that are no readings */
export function receive(
  onReadings: (id: number, readings: readonly Reading[]) => void,
  onOther?: (line: string) => void,
): (bytes: Uint8Array) => void {
  let rest = ''
  return (bytes) => {
    const lines = (rest + Buffer.from(bytes).toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      try {
        const [id, readings] = JSON.parse(line) as [number, Reading[]]
        onReadings(id, readings)
      } catch {
        // Some other program has the descriptor, too, and has written to it.
        onOther?.(line)
      }
    }
  }
}
