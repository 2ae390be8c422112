#!/usr/bin/env node
// `npm run demo`: beck's main job on the flights in fixtures/, each command line before its output. Fails when a step fails.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const steps = [
  {
    says: '20,000 real flights of 2001, one JSON record a line',
    line: 'head -2 fixtures/flights.ndjson',
  },
  {
    says: 'The busiest routes',
    line: `beck reduce 'flights = count, median(delay), miles = max(distance)' --by origin,destination fixtures/flights.ndjson |
  beck sort --by -flights --limit 8 | beck to table`,
  },
  {
    says: 'Delay in minutes, quantiles by origin: where half of the flights are early, and one in a hundred is hours late',
    line: `beck reduce 'count, median(delay), p90(delay), p99(delay), worst = max(delay)' --by origin fixtures/flights.ndjson |
  beck filter 'r.count >= 300' | beck sort --by -p90_delay --limit 8 | beck to table`,
  },
  {
    says: 'What a bad line does: the rest goes on, the line is kept',
    line: `{ head -2 fixtures/flights.ndjson; echo '{"delay": oops}'; } | beck map '{late: r.delay > 15, origin: r.origin}' --dead-letter bad.txt; cat bad.txt`,
  },
  {
    says: 'Event time: let the records come in the order in which the planes left, so delayed flights come late',
    line: `beck map '{...r, left: Date.parse(r.date.replaceAll("/", "-") + "Z") + r.delay * 60000}' fixtures/flights.ndjson |
  beck sort --by left > left.ndjson; head -2 left.ndjson`,
  },
  {
    says: 'Departures per hour by origin, by the timetable. A late record is dropped, and counted',
    line: `beck window 'flights = count' --time date --tumbling 1h --by origin left.ndjson |
  beck map '{hour: r.window.start, origin: r.origin, flights: r.flights}' | beck sort --by -flights --limit 4 | beck to table`,
  },
  {
    says: 'Or waited for, six hours',
    line: `beck window 'flights = count' --time date --tumbling 1h --by origin --delay 6h left.ndjson | beck reduce 'sum(flights)'`,
  },
  {
    says: 'Or it brings a new result of a window that had closed: here the ones that were revised most often',
    line: `beck window 'flights = count' --time date --tumbling 1h --by origin --late update --lateness 6h left.ndjson |
  beck map '{hour: r.window.start, origin: r.origin, flights: r.flights, revision: r.revision ?? 0}' |
  beck sort --by -revision,hour --limit 4 | beck to table`,
  },
  {
    says: 'A topic: a log in a folder, as plain text. A reader remembers how far it is',
    line: `beck append flights fixtures/flights.ndjson --partitions 4 --by origin &&
  beck consume flights --group report --limit 5000 | beck reduce count && beck group list`,
  },
  {
    says: `Exactly once: departures come in by and by, windows of them go to another topic, and the stage between is killed three times, each time behind a checkpoint
# in the middle. Three times the same line is run again, and goes on`,
    line: `beck topic create departures --partitions 2
(split -l 500 left.ndjson part-; for part in part-*; do beck append departures $part; done) &
feeder=$!
epoch() { beck pipeline list | beck map 'r.epoch' | grep . || echo 0; }
for kill in 1 2 3; do
  before=$(epoch)
  { beck consume departures --group live --follow --exactly-once --checkpoint 20ms |
      (echo $BASHPID > stage; exec beck window 'flights = count, avg(delay)' --time date --tumbling 1h --by origin --delay 6h) |
      beck append hourly; } 2> log &
  until [ "$(epoch)" -gt "$before" ] || ! kill -0 $feeder 2> log; do sleep 0.05; done
  kill -9 $(cat stage); wait $!
  beck pipeline list | beck map '{runs: r.generation, epochs: r.epoch, lag: r.lag}'
done
wait; set -e
beck consume departures --group live --exactly-once --drain |
  beck window 'flights = count, avg(delay)' --time date --tumbling 1h --by origin --delay 6h | beck append hourly`,
  },
  {
    says: 'The same as without any of that, byte for byte',
    line: `beck window 'flights = count, avg(delay)' --time date --tumbling 1h --by origin --delay 6h left.ndjson > calm &&
  beck replay hourly | cmp - calm && wc -l < calm`,
  },
  {
    says: 'The same pipeline as one text, in one process; and how it would be run',
    line: `beck explain "consume departures --group again --exactly-once | window 'flights = count, avg(delay)' --time date --tumbling 1h --by origin --delay 6h | append again" &&
  beck run "consume departures --group again --exactly-once --drain | window 'flights = count, avg(delay)' --time date --tumbling 1h --by origin --delay 6h | append again" &&
  beck replay again | cmp - calm && echo the same`,
  },
  {
    says: 'A job in map and reduce tasks: how it will be run; and run, while one of its two workers is killed. Its task is done again by another',
    line: `cat > routes.beck << END
map '{route: r.origin + r.destination, delay: r.delay}' left.ndjson
  | shuffle --by route --partitions 3
  | reduce 'count, avg(delay)' --by route
END
beck explain --mode parallel --workers 2 --split 50KiB routes.beck
beck run --mode parallel --workers 2 --split 50KiB --out routes --stats json routes.beck 2> log &
until [ -e routes/_job/map-00003 -o -e routes/_SUCCESS ]; do sleep 0.01; done
kill -9 $(pgrep -P $! | head -1); wait $! &&
  beck map '{tasks: r.phases[0].done + r.phases[1].done, again: r.phases[0].retried + r.phases[1].retried}' log &&
  ls routes && beck sort --by -count,route --limit 3 routes/*.ndjson`,
  },
]

const folder = mkdtempSync(join(tmpdir(), 'beck-demo-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
symlinkSync(join(root, 'dist/beck.cjs'), join(folder, 'beck'))
symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'))

const [bold, dim, plain] = process.stdout.isTTY ? ['\x1b[1m', '\x1b[2m', '\x1b[0m'] : ['', '', '']
for (const { says, line } of steps) {
  console.log(`${dim}# ${says}${plain}\n${bold}$ ${line}${plain}`)
  const { status } = spawnSync('bash', ['-o', 'pipefail', '-c', line], {
    cwd: folder,
    env: { ...process.env, PATH: [folder, dirname(process.execPath), process.env.PATH].join(delimiter) },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  console.log()
  if (status !== 0) {
    console.error(`that step failed (exit ${status})`)
    process.exit(1)
  }
}
console.log(`${dim}# beck COMMAND --help shows more; README.md goes on from here${plain}`)
