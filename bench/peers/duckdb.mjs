// Usage: duckdb.mjs SQL [MEMORY FOLDER]: runs one statement with two threads and prints the time that it took, in ms, without process
// start. With a limit of its memory it spills to the folder.
import { DuckDBInstance } from '@duckdb/node-api'

const [sql, memory, folder] = process.argv.slice(2)
const limit = memory ? { memory_limit: memory, temp_directory: folder } : {}
const instance = await DuckDBInstance.create(':memory:', { threads: '2', ...limit })
const connection = await instance.connect()
const start = performance.now()
await connection.run(sql)
console.log(performance.now() - start)
