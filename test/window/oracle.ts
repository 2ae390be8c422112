/** A naive window operator: keeps every record, looks at all of them each time. For records `{t: ms, k?: key, n: integer}`. */
export interface OracleOptions {
  readonly kind: { readonly size: number; readonly advance: number; readonly offset: number } | { readonly gap: number }
  readonly delay: number
  readonly lateness: number
  readonly late: 'drop' | 'update' | 'correct'
  readonly emit: 'final' | 'changes'
}
export interface Item {
  readonly t: number
  readonly k?: unknown
  readonly n: number
}
interface Group {
  start: number
  end: number
  readonly key: string
  items: Item[]
  /** Closed: its result is out. */
  fired: boolean
  said: { start: number; end: number; body: string; revision: number }[]
}

export function oracle(items: readonly Item[], options: OracleOptions): { lines: string[]; late: Item[] } {
  const { kind, delay, lateness, late: policy, emit } = options
  const session = 'gap' in kind
  const grace = policy === 'drop' ? lateness : 0
  const lines: string[] = []
  const late: Item[] = []
  let groups: Group[] = []
  let watermark = -Infinity

  const iso = (ms: number): string => new Date(ms).toISOString()
  const line = (start: number, end: number, body: string, extra: string): void => {
    lines.push(`{"window":{"start":"${iso(start)}","end":"${iso(end)}"},${body}${extra}}`)
  }
  const say = (group: Group): void => {
    const { start, end, key, items, said } = group
    const sum = items.reduce((total, { n }) => total + n, 0)
    const body = `"k":${key},"count":${items.length},"s":${sum}`
    const same = said.find((before) => before.start === start && before.end === end)
    let revision = 0
    if (policy === 'correct') {
      if (same && said.length === 1 && same.body === body) return
      for (const before of said) line(before.start, before.end, before.body, ',"op":"retract"')
      line(start, end, body, ',"op":"insert"')
    } else {
      let extra = ''
      if (same) extra += `,"revision":${(revision = same.revision + 1)}`
      const others = said.filter((before) => before !== same)
      if (others.length > 0)
        extra += `,"replaces":${JSON.stringify(others.map(({ start, end }) => [iso(start), iso(end)]))}`
      line(start, end, body, extra)
    }
    group.said = [{ start, end, body, revision }]
  }
  const over = (end: number, since: number): boolean => (session ? since > end : since >= end)
  const advance = (to: number): void => {
    if (to <= watermark) return
    watermark = to
    const due = groups.filter((group) => !group.fired && over(group.end + grace, watermark))
    for (const group of due.sort(order)) {
      if (emit === 'final' || group.said.length === 0) say(group)
      group.fired = true
    }
    groups = groups.filter((group) => !over(group.end + lateness, watermark))
  }
  const touch = (group: Group): void => {
    if (policy !== 'drop' && over(group.end, watermark)) {
      say(group)
      group.fired = true
    } else if (emit === 'changes') say(group)
  }

  for (const item of items) {
    const key = JSON.stringify(item.k ?? null)
    if (session) {
      const touching = groups.filter(
        (group) => group.key === key && item.t <= group.end && item.t + kind.gap >= group.start,
      )
      const start = Math.min(item.t, ...touching.map((group) => group.start))
      const end = Math.max(item.t + kind.gap, ...touching.map((group) => group.end))
      if (end + lateness <= watermark) late.push(item)
      else {
        const merged: Group = {
          start,
          end,
          key,
          items: [...touching.flatMap((group) => group.items), item],
          fired: false,
          said: touching.flatMap((group) => group.said).sort(order),
        }
        groups = [...groups.filter((group) => !touching.includes(group)), merged]
        touch(merged)
        advance(item.t - delay)
      }
    } else {
      const windows: number[] = []
      const { size, advance: step, offset } = kind
      const base = Math.floor((item.t - offset) / step) * step + offset
      for (let start = base; start + size > item.t; start -= step) windows.unshift(start)
      const open = windows.filter((start) => start + size + lateness > watermark)
      if (open.length === 0 && windows.length > 0) late.push(item)
      for (const start of open) {
        let group = groups.find((group) => group.key === key && group.start === start)
        if (!group) {
          group = { start, end: start + size, key, items: [], fired: false, said: [] }
          groups.push(group)
        }
        group.items.push(item)
        touch(group)
      }
      if (open.length > 0 || windows.length === 0) advance(item.t - delay)
    }
  }
  advance(Infinity)
  return { lines, late }
}

const order = (
  a: { start: number; end: number; key?: string },
  b: { start: number; end: number; key?: string },
): number => a.end - b.end || a.start - b.start || compareKeys(a.key ?? '', b.key ?? '')

/** null, numbers, strings: the keys that the tests use. */
const compareKeys = (a: string, b: string): number => {
  const rank = (key: string): number => (key === 'null' ? 0 : key.startsWith('"') ? 2 : 1)
  return rank(a) - rank(b) || (rank(a) === 1 ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0)
}
