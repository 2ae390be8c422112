// Preloaded into measured processes: adds the time that each has waited for the disk, in ms, as a line to the file that BECK_SYNCS names.
const fs = require('node:fs')
let ms = 0
for (const name of ['fsyncSync', 'fdatasyncSync']) {
  const sync = fs[name]
  fs[name] = (fd) => {
    const begin = performance.now()
    try {
      return sync(fd)
    } finally {
      ms += performance.now() - begin
    }
  }
}
process.on('exit', () => fs.appendFileSync(process.env.BECK_SYNCS, `${ms}\n`))
