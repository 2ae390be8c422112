import { BeckError } from '../core/errors.ts'
import { parseFieldPath } from '../core/field-path.ts'
import { parseTimeArgument } from '../core/time.ts'
import { DetailReader } from './details.ts'
import { splitPartitionName } from './layout.ts'
import { offsetOf, PartitionReader, type ReadPolicy } from './reader.ts'
import type { Offset, PartitionName } from './state.ts'
import type { Store } from './store.ts'

/** Where to begin or end: `earliest`, `latest`, an offset, the last N records, or a time. */
export type Position =
  | { readonly kind: 'earliest' | 'latest' }
  | { readonly kind: 'offset'; readonly offset: Offset }
  | { readonly kind: 'last'; readonly records: number }
  | { readonly kind: 'time'; readonly time: number }

/** Reads `earliest`, `latest`, `1042`, `-10`, `2026-01-01T10:00:00Z`, `now-1h`. @throws BeckError bad-option */
export function parsePosition(text: string, option: string, now: number): Position {
  if (text === 'earliest' || text === 'latest') return { kind: text }
  if (/^-\d{1,15}$/.test(text)) return { kind: 'last', records: Number(text.slice(1)) }
  // Up to eight digits are an offset as likely as anything; what a clock of this century counts in has at least nine.
  if (/^\d{1,15}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  try {
    return { kind: 'time', time: parseTimeArgument(text, option, now) }
  } catch (error) {
    if (!(error instanceof BeckError)) throw error
    throw new BeckError('bad-option', {
      option,
      problem: `"${text}" is neither an offset nor a time`,
      hint: 'write earliest, latest, an offset as 1042, -10 for the last ten, 2026-01-31T10:00:00Z or now-1h',
    })
  }
}

/** The offset of a position in one partition. A time is the first record at or after it, else the end. */
export function offsetAt(store: Store, name: PartitionName, position: Position, policy: ReadPolicy): Offset {
  const partition = store.state.partition(name)
  if (!partition) return 0
  switch (position.kind) {
    case 'earliest':
      return partition.start
    case 'latest':
      return partition.next
    case 'offset':
      return Math.min(Math.max(position.offset, partition.start), partition.next)
    case 'last':
      return Math.max(partition.start, partition.next - position.records)
    case 'time':
      return firstAtOrAfter(store, name, position.time, policy)
  }
}

function firstAtOrAfter(store: Store, name: PartitionName, time: number, policy: ReadPolicy): Offset {
  const reader = new PartitionReader(store, name, store.state.partition(name)?.start ?? 0, policy)
  const field = store.state.topics.get(splitPartitionName(name)[0])?.config.time
  const details = field === undefined ? undefined : new DetailReader([], parseFieldPath(field))
  try {
    for (;;) {
      const batch = reader.searchFrom(
        (segment) => segment.maxTime >= time,
        (batch) => batch.segmentMaxTime >= time,
      )
      const end = store.state.partition(name)?.next ?? 0
      if (!batch) return end
      reader.seek(Math.max(reader.offset, batch.offset))
      const part = reader.peek(end)
      if (!part) return end
      // Damage is nobody's concern here: who reads the batch will be told.
      if (part.batch.maxTime < time) {
        reader.seek(part.batch.end)
        continue
      }
      if (!part.batch.eventTime || !details) return offsetOf(part.batch, part.from)
      const bytes = reader.take(part)
      const times = bytes && details.read(bytes, part.to - part.from).times
      const found = times?.findIndex((other) => other >= time) ?? 0
      if (found >= 0) return offsetOf(part.batch, part.from + found)
    }
  } finally {
    reader.close()
  }
}
