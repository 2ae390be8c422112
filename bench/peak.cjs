// Preloaded into a measured process: notes the peak of its resident memory, in KiB, where BECK_PEAK says.
const { readFileSync, writeFileSync } = require('node:fs')
process.on('exit', () => {
  writeFileSync(process.env.BECK_PEAK, /VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
})
