/** What of an ioredis client is used: `Redis` and `Cluster` fit. */
export interface RedisClient {
  readonly status: string
  /** Its connection; a cluster has several. */
  readonly stream?: { readonly writableCorked: number; cork(): void; uncork(): void } | undefined
  call(command: string, args: readonly string[]): Promise<unknown>
  connect(): Promise<unknown>
  disconnect(reconnect?: boolean): void
  duplicate(options?: object): RedisClient
  ping(): Promise<unknown>
  subscribe(...channels: string[]): Promise<unknown>
  unsubscribe(...channels: string[]): Promise<unknown>
  on(event: string, hear: (...args: never[]) => void): unknown
  off(event: string, hear: (...args: never[]) => void): unknown
}
