#!/usr/bin/env node
// What `beck` starts (as dist/beck.cjs): runs dist/main.cjs, the bundle, from V8's code cache where there is one for this
// version of Node. That saves compiling, which takes as long as everything else beck does at start. A cache that V8 rejects
// (other version, other flags) is ignored. In a single executable both parts are assets of the executable.
'use strict'

/**
 * Runs the bundle. Self-contained: workers start from its text, as a single executable has no file to start them from. The image is in shared memory, so
 * that they get it without a copy.
 */
function run(image) {
  const { Script } = require('node:vm')
  const { buffer, byteLength } = image.main
  const text = Buffer.from(buffer, 0, byteLength).latin1Slice()
  const script = new Script(text, { filename: 'main.cjs', cachedData: image.cache })
  script.runInThisContext()(module.exports, require, module, 'main.cjs', image)
}

function load() {
  const shared = (size) => new Uint8Array(new SharedArrayBuffer(size))
  const sea = require('node:sea')
  if (sea.isSea()) {
    const asset = (name) => {
      const bytes = new Uint8Array(sea.getRawAsset(name))
      const copy = shared(bytes.length)
      copy.set(bytes)
      return copy
    }
    return { main: asset('main.cjs'), cache: asset('main.cache') }
  }
  const { closeSync, fstatSync, openSync, readSync } = require('node:fs')
  const content = (name) => {
    const fd = openSync(`${__dirname}/${name}`)
    const bytes = shared(fstatSync(fd).size)
    for (let at = 0, n; at < bytes.length; at += n) {
      n = readSync(fd, bytes, at, bytes.length - at, at)
      if (n === 0) throw new Error(`${name} is being replaced`)
    }
    closeSync(fd)
    return bytes
  }
  let cache
  try {
    cache = content('main.cache')
  } catch {} // no cache: slower, never different
  return { main: content('main.cjs'), cache }
}

run(Object.assign(load(), { worker: `(${run})(require('node:worker_threads').workerData)` }))
