import { closeSync, openSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import type { GroupState } from '../../aggregate/group-by.ts'
import { atFile } from '../../core/errors.ts'
import type { MergeableOperator, SpillFile, SpillHandle, StageContext } from '../../core/operator.ts'
import type { OperatorStage, ToolStage } from '../../core/spec.ts'
import { collectInto, openScanner, stageContext } from '../../pipeline/context.ts'
import { ReaderGone } from '../../pipeline/descriptor.ts'
import type { BadRecords } from '../../pipeline/bad-records.ts'
import type { RunSettings } from '../../pipeline/settings.ts'
import { SpillFolder } from '../../pipeline/spill.ts'

/**
 * States of an operator that go from the processes that have made them to the one that puts them together. What does not fit the memory is in
 * spill files, which have names here, since a descriptor is of no use to another process.
 */

/** The state in the folder of an attempt. */
export const STATE = 'state'
const spillName = (fd: number): string => `spill-${fd}`

/** Makes spill files in a folder, each called after the descriptor that its handle has. */
export function namedSpills(folder: string): StageContext['spill'] {
  const files = new SpillFolder(folder)
  return (known): SpillFile => {
    if (known) return files.create(known)
    return atFile(folder, () => {
      const draft = join(folder, 'spill')
      const fd = openSync(draft, 'wx+', 0o600)
      renameSync(draft, join(folder, spillName(fd)))
      return files.create({ fd, size: 0 })
    })
  }
}

/** What the operator knows, as bytes. Its spill files are closed. */
export function packState(operator: MergeableOperator): Uint8Array {
  const state = operator.exportState() as GroupState
  for (const { fd } of state.spilled?.flat() ?? []) closeSync(fd)
  return serialize(state)
}

/** A source of records: an operator at the end of its input, which was that of all the tasks in `folders`. */
export function mergedStates(
  stage: OperatorStage,
  settings: RunSettings,
  folders: readonly string[],
  bad: BadRecords,
): ToolStage {
  return {
    role: 'tool',
    run: async (io) => {
      const scanner = openScanner(stage.reads, settings)
      const context = stageContext(scanner, bad, new Map(), settings)
      const operator = stage.open(context) as MergeableOperator<GroupState>
      for (const folder of folders) {
        const state = deserialize(readFileSync(join(folder, STATE))) as GroupState
        const spilled = state.spilled?.map((files) => files.map((handle) => openSpill(folder, handle)))
        operator.mergeState({ ...state, spilled })
      }
      const write = (bytes: Uint8Array): void => {
        if (!io.write(bytes)) throw new ReaderGone()
      }
      operator.onEnd?.(collectInto({ write, writeBinary: (text) => write(Buffer.from(text, 'latin1')) }))
      scanner.close()
    },
  }
}

/** The operator closes it. */
function openSpill(folder: string, { fd, size }: SpillHandle): SpillHandle {
  const file = join(folder, spillName(fd))
  return { fd: atFile(file, () => openSync(file, 'r+')), size }
}
