/** The version of package.json. Defined when the bundle is built. */
declare const BECK_VERSION: string
/** What bin/start.cjs started the bundle from. Not defined where the sources run unbundled, as in unit tests. */
declare const BECK_IMAGE: undefined | BeckImage
interface BeckImage {
  /** Text for `new Worker(worker, { eval: true, workerData: { image: BECK_IMAGE, … } })`: runs the bundle in a worker. */
  readonly worker: string
  readonly main: string
  readonly cache?: Uint8Array
}
