import type { CommandSpec } from '../core/spec.ts'

/** All commands, each loaded when it runs. Handed in by `bin`, since nothing in `src/` imports a command. */
export type Registry = Readonly<Record<string, () => Promise<CommandSpec>>>
