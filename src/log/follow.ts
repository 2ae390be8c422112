import { type FSWatcher, watch } from 'node:fs'
import { layout } from './layout.ts'
import type { Store } from './store.ts'

/** How often the journal is looked at when no event says that it has changed: events may be missed. */
const POLL_MS = 15

/** Waits for commits: file-system events wake it up, a poll makes sure. */
export class Follower {
  private readonly store: Store
  private watcher: FSWatcher | undefined
  private wake: (() => void) | undefined

  constructor(store: Store) {
    this.store = store
    try {
      this.watcher = watch(layout.journal(store.folder), () => this.wake?.())
      this.watcher.on('error', () => this.stop())
    } catch {
      // No watches left or none here: the poll alone will do.
    }
  }

  /** Resolves when something was committed, or after `mostMs`. Returns whether there was anything. */
  async wait(mostMs = Infinity): Promise<boolean> {
    const end = Date.now() + mostMs
    for (;;) {
      if (this.store.refresh()) return true
      const left = end - Date.now()
      if (left <= 0) return false
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(POLL_MS, left))
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.wake = undefined
    }
  }

  stop(): void {
    this.watcher?.close()
    this.watcher = undefined
  }
}
