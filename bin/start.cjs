#!/usr/bin/env node
// What `beck` starts (as dist/beck.cjs): runs dist/main.cjs, the bundle, from V8's code cache where there is one for this
// version of Node. That saves compiling, which takes as long as everything else beck does at start. A cache that V8 rejects
// (other version, other flags) is ignored. In a single executable both parts are assets of the executable.
'use strict'

/** Runs the bundle. Self-contained: workers start from its text, as a single executable has no file to start them from. */
function run(image) {
  const { Script } = require('node:vm')
  const script = new Script(image.main, { filename: 'main.cjs', cachedData: image.cache })
  script.runInThisContext()(module.exports, require, module, 'main.cjs', image)
}

function load() {
  const sea = require('node:sea')
  if (sea.isSea()) {
    return {
      main: Buffer.from(sea.getRawAsset('main.cjs')).latin1Slice(),
      cache: new Uint8Array(sea.getRawAsset('main.cache')),
    }
  }
  const { readFileSync } = require('node:fs')
  let cache
  try {
    cache = readFileSync(`${__dirname}/main.cache`)
  } catch {} // no cache: slower, never different
  return { main: readFileSync(`${__dirname}/main.cjs`, 'latin1'), cache }
}

run(Object.assign(load(), { worker: `(${run})(require('node:worker_threads').workerData)` }))
