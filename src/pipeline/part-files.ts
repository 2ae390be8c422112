import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { type Env, readSmallFile, removeIfThere } from '../log/env.ts'
import type { PartFile } from '../log/pipelines.ts'
import { translate } from '../log/store.ts'

/** `part-0000000042.ndjson` */
export const numberedPart = (epoch: number): string => `part-${String(epoch).padStart(10, '0')}.ndjson`

/**
 * Gives a committed part its name. The run that committed it may have died before that; it may also be done already, and the file
 * processed and gone. @throws BeckError store, when the file is not what was committed, or another one has its name
 */
export function finishPart(env: Env, { folder, temporary, name, bytes, crc }: PartFile): void {
  translate(folder, () => {
    const from = `${folder}/${temporary}`
    const part = readSmallFile(env, from)
    if (!part) return
    if (part.length !== bytes || crc32(part) !== crc) {
      throw new BeckError('store', {
        problem: `${from} is not what was committed as ${name}: it is damaged`,
        hint: 'restore it from a backup, or remove it to go on without its records',
      })
    }
    if (env.kind(`${folder}/${name}`) !== undefined) throw nameTaken(folder, name)
    env.rename(from, `${folder}/${name}`)
    env.syncFolder(folder)
  })
}

export const nameTaken = (folder: string, name: string): BeckError =>
  new BeckError('store', {
    problem: `${folder} has a file ${name} already, which is of another pipeline or of an earlier life of this one`,
    hint: `name a folder of its own: beck into file:${folder}-2`,
  })

/** Files of epochs that were not committed, of runs that are over. */
export function removeUnfinished(env: Env, folder: string, mine: (name: string) => boolean): void {
  translate(folder, () => {
    for (const name of env.list(folder)) if (mine(name)) removeIfThere(env, `${folder}/${name}`)
  })
}
