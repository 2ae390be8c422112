// Usage: duckdb.mjs SQL [MEMORY FOLDER]: runs one statement with two threads and prints the time that it took, in ms, without process
// start. With a limit of its memory it spills to the folder. Where that is not enough for it, it gets twice as much until it is: what it took
// is printed, too.
import { DuckDBInstance } from '@duckdb/node-api'

const [sql, memory, folder] = process.argv.slice(2)

async function run(limit) {
  const instance = await DuckDBInstance.create(':memory:', { threads: '2', ...limit })
  const connection = await instance.connect()
  const start = performance.now()
  await connection.run(sql)
  return performance.now() - start
}

if (memory) {
  const least = Number.parseInt(memory, 10)
  for (let mebibytes = least; ; mebibytes *= 2) {
    const limit = `${mebibytes}MiB`
    // The order of records is given up rather than the work.
    const order = mebibytes > least ? { preserve_insertion_order: 'false' } : {}
    try {
      console.log(await run({ memory_limit: limit, temp_directory: folder, ...order }), limit)
      break
    } catch (error) {
      if (!/out of memory/i.test(error.message) || mebibytes > 16 * least) throw error
    }
  }
} else console.log(await run({}))
