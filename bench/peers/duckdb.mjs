// Usage: duckdb.mjs SQL: runs one statement with two threads and prints the time that it took, in ms, without process start.
import { DuckDBInstance } from '@duckdb/node-api'

const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
const connection = await instance.connect()
const start = performance.now()
await connection.run(process.argv[2])
console.log(performance.now() - start)
