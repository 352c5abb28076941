/** What a stretch of work took. */
export interface Cost {
  readonly seconds: number
  /** CPU-seconds of all processes of the contestant. */
  readonly cpuSeconds: number
  /** Null: the server does not tell. */
  readonly serverCpuSeconds: number | null
  readonly commands: number | null
}

/** What one round of one contestant has shown. */
export type Finding = { readonly jobs: number } & (
  | { readonly measure: 'rate'; readonly cost: Cost }
  | { readonly measure: 'latency'; readonly p50Ms: number; readonly p99Ms: number }
)

/** A finding, and where it was made. */
export interface Result {
  readonly ground: string
  readonly case: string
  readonly contestant: string
  readonly round: number
  readonly finding: Finding
}
