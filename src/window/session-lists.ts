import { ChangedSlots } from '../aggregate/changed-slots.ts'
import type { EventTime } from '../core/operator.ts'
import { Slots, sortedBy } from './ids.ts'
import type { Keys } from './keys.ts'

export const NO_SESSION = -1

/** What a snapshot holds, as columns: sessions that were changed since the last one, and keys with another latest session. */
export interface SessionListsState {
  readonly sessions: Uint32Array
  /** Start and end, by turns. */
  readonly bounds: Float64Array
  /** -1: the session is no more. */
  readonly key: Int32Array
  readonly next: Int32Array
  readonly emitted: Uint8Array
  readonly keys: Uint32Array
  readonly latest: Int32Array
}

/**
 * The sessions of all keys: one list per key, latest first. A session is a slot, what is known of it stands in columns by slot. They are read by
 * row, so they lie open; all but `bounds` and `emitted` are written here only, and any of them may be another array once a session was added.
 */
export class SessionLists {
  readonly slots: Slots
  /** Start and end beside each other, since they are read together. */
  bounds = new Float64Array(0)
  /** -1: the session is no more. */
  key = new Int32Array(0)
  /** The key's session before this one in time. */
  next = new Int32Array(0)
  /** 1: emitted, and kept for late records. */
  emitted = new Uint8Array(0)
  /** By key: its latest session. */
  latest = new Int32Array(0).fill(NO_SESSION)
  /** What has happened since the last snapshot; nobody keeps it where none are made. */
  #changes: { readonly sessions: ChangedSlots; readonly keys: ChangedSlots } | undefined

  /** @param grow makes room for what others keep by session */
  constructor(grow: (slots: number) => void) {
    this.slots = new Slots((slots) => {
      this.#reserve(slots)
      grow(slots)
    })
  }

  #reserve(slots: number): void {
    const grow = <Column extends Float64Array | Int32Array | Uint8Array>(column: Column, larger: Column): Column => {
      larger.set(column)
      return larger
    }
    this.bounds = grow(this.bounds, new Float64Array(2 * slots))
    this.key = grow(this.key, new Int32Array(slots).fill(-1))
    this.next = grow(this.next, new Int32Array(slots).fill(NO_SESSION))
    this.emitted = grow(this.emitted, new Uint8Array(slots))
  }

  /** Makes room for keys below. */
  reserveKeys(keys: number): void {
    if (keys <= this.latest.length) return
    const larger = new Int32Array(2 * keys).fill(NO_SESSION)
    larger.set(this.latest)
    this.latest = larger
  }

  endOf(session: number): EventTime {
    return this.bounds[2 * session + 1] as number
  }

  setBounds(session: number, start: EventTime, end: EventTime): void {
    this.bounds[2 * session] = start
    this.bounds[2 * session + 1] = end
  }

  /** All that are kept. */
  live(): Uint32Array {
    return placesOf(this.key)
  }

  /** A new session; in its key's list it comes behind `later`, the earliest that begins later, or at the head when there is none. */
  insert(key: number, later: number, start: EventTime, end: EventTime): number {
    const session = this.slots.take()
    this.key[session] = key
    if (later === NO_SESSION) {
      this.#setNext(session, this.latest[key] as number)
      this.#setLatest(key, session)
    } else {
      this.#setNext(session, this.next[later] as number)
      this.#setNext(later, session)
    }
    this.setBounds(session, start, end)
    this.emitted[session] = 0
    return session
  }

  /** Takes `from` out, which is the next one in the list, directly or behind others already absorbed. Its slot stays in use. */
  absorb(into: number, from: number): void {
    this.#setNext(into, this.next[from] as number)
    this.key[from] = -1
    this.markChanged(from)
  }

  /** Takes a session and all before it in time out of a key's list, and returns them. `previous` stands before it in the list. */
  cut(key: number, previous: number, first: number): number[] {
    if (previous === NO_SESSION) this.#setLatest(key, NO_SESSION)
    else this.#setNext(previous, NO_SESSION)
    const sessions: number[] = []
    for (let session = first; session !== NO_SESSION;) {
      const after = this.next[session] as number
      this.#setNext(session, NO_SESSION)
      sessions.push(session)
      session = after
    }
    return sessions
  }

  /** Forgets a session, whether it still is in its key's list or not. */
  remove(session: number): void {
    const key = this.key[session] as number
    let before = NO_SESSION
    for (let at = this.latest[key] as number; at !== NO_SESSION; at = this.next[at] as number) {
      if (at === session) {
        if (before === NO_SESSION) this.#setLatest(key, this.next[at] as number)
        else this.#setNext(before, this.next[at] as number)
        break
      }
      before = at
    }
    this.#setNext(session, NO_SESSION)
    this.key[session] = -1
    this.slots.giveBack(session)
  }

  /** In order of results: end, start, key. */
  sorted(sessions: readonly number[], keys: Keys): number[] {
    const bounds = this.bounds
    const sorted = sortedBy(sessions, (session) => bounds[2 * session + 1] as number)
    let end = sorted.length > 0 ? bounds[2 * (sorted[0] as number) + 1] : NaN
    for (let from = 0, to = 1; to <= sorted.length; to++) {
      const next = to < sorted.length ? bounds[2 * (sorted[to] as number) + 1] : NaN
      if (next === end) continue
      end = next
      if (to - from > 1) {
        const same = sorted.slice(from, to).map((session) => ({
          session,
          start: bounds[2 * session] as number,
          key: keys.sortKey(this.key[session] as number),
        }))
        same.sort((a, b) => a.start - b.start || (a.key < b.key ? -1 : 1))
        same.forEach(({ session }, index) => (sorted[from + index] = session))
      }
      from = to
    }
    return sorted
  }

  markKeys(marks: Uint8Array): void {
    for (const key of this.key) if (key >= 0) marks[key] = 1
  }

  renumberKeys(ids: Uint32Array): void {
    const latest = new Int32Array(this.latest.length).fill(NO_SESSION)
    this.latest.forEach((session, key) => {
      if (session !== NO_SESSION) latest[ids[key] as number] = session
    })
    this.latest = latest
    for (let session = 0; session < this.key.length; session++) {
      const key = this.key[session] as number
      if (key >= 0) this.key[session] = ids[key] as number
    }
  }

  #setLatest(key: number, session: number): void {
    this.latest[key] = session
    this.#changes?.keys.markOne(key)
  }

  #setNext(session: number, next: number): void {
    this.next[session] = next
    this.markChanged(session)
  }

  /** Where sessions are to be marked that the next snapshot must have. */
  get changed(): ChangedSlots | undefined {
    return this.#changes?.sessions
  }

  markChanged(session: number): void {
    this.#changes?.sessions.markOne(session)
  }

  snapshot(whole: boolean): SessionListsState {
    const before = whole ? undefined : this.#changes
    const sessions = before?.sessions.take() ?? placesOf(this.key)
    const keys = before?.keys.take() ?? placesOf(this.latest)
    const count = sessions.length
    const state: SessionListsState = {
      sessions,
      bounds: new Float64Array(2 * count),
      key: new Int32Array(count),
      next: new Int32Array(count),
      emitted: new Uint8Array(count),
      keys,
      latest: Int32Array.from(keys, (key) => this.latest[key] as number),
    }
    for (let at = 0; at < count; at++) {
      const session = sessions[at] as number
      state.bounds[2 * at] = this.bounds[2 * session] as number
      state.bounds[2 * at + 1] = this.bounds[2 * session + 1] as number
      state.key[at] = this.key[session] as number
      state.next[at] = this.next[session] as number
      state.emitted[at] = this.emitted[session] as number
    }
    this.#watchChanges()
    return state
  }

  #watchChanges(): void {
    this.#changes = { sessions: new ChangedSlots(), keys: new ChangedSlots() }
  }

  restore({ sessions, bounds, key, next, emitted, keys, latest }: SessionListsState): void {
    this.slots.makeRoom(sessions.length > 0 ? (sessions.at(-1) as number) + 1 : 0)
    for (let at = 0; at < sessions.length; at++) {
      const session = sessions[at] as number
      this.setBounds(session, bounds[2 * at] as number, bounds[2 * at + 1] as number)
      this.key[session] = key[at] as number
      this.next[session] = next[at] as number
      this.emitted[session] = emitted[at] as number
    }
    this.reserveKeys(keys.length > 0 ? (keys.at(-1) as number) + 1 : 0)
    for (let at = 0; at < keys.length; at++) this.latest[keys[at] as number] = latest[at] as number
  }

  /** When all snapshots have come back. */
  restored(): void {
    const used = new Uint8Array(this.key.length)
    for (let session = 0; session < used.length; session++) if ((this.key[session] as number) >= 0) used[session] = 1
    this.slots.restore(used)
    this.#watchChanges()
  }
}

/** Where entries are that are not -1. */
function placesOf(list: Int32Array): Uint32Array {
  let count = 0
  for (let at = 0; at < list.length; at++) if ((list[at] as number) >= 0) count++
  const places = new Uint32Array(count)
  for (let at = 0, to = 0; to < count; at++) if ((list[at] as number) >= 0) places[to++] = at
  return places
}
