declare module '*/kernel.wasm' {
  const bytes: Uint8Array<ArrayBuffer>
  export default bytes
}

/** The part of the WebAssembly interface that beck uses; TypeScript has it only together with all of the browser's. */
declare namespace WebAssembly {
  class Memory {
    constructor(limits: { initial: number; maximum: number })
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
  interface Module {
    readonly brand?: 'module'
  }
  const Module: new (bytes: Uint8Array<ArrayBuffer>) => Module
  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } })
    readonly exports: Record<string, unknown>
  }
}
