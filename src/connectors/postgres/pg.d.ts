/** As much of node-postgres as is used. https://node-postgres.com */
declare module 'pg' {
  export interface Options {
    readonly connectionString: string
    readonly connectionTimeoutMillis: number
    readonly application_name: string
    readonly keepAlive: boolean
  }
  export interface Result {
    readonly rows: readonly Readonly<Record<string, unknown>>[]
    readonly rowCount: number | null
  }
  export class Client {
    readonly user: string
    readonly host: string
    readonly port: number
    readonly database: string
    constructor(options: Options)
    connect(): Promise<void>
    query(sql: string, values?: readonly unknown[]): Promise<Result>
    end(): Promise<void>
    on(event: 'error', listener: (error: Error) => void): void
  }
}
