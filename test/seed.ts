import { configureGlobal } from 'fast-check'

// Random tests that are the same each time: a change fails for what it does, not for what chance brings up. Without BECK_SEED each run is
// another one.
configureGlobal({ seed: Number(process.env['BECK_SEED']) })
