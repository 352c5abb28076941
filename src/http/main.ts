/**
 * Queues over HTTP: a plain Hono app, to serve or to mount.
 *
 * @example
 * ```ts
 * import { JobQueueService } from 'wherry'
 * import { createApp } from 'wherry/http'
 *
 * const app = createApp(new JobQueueService(), { token: 'a long secret' })
 * const { status } = await app.request('/queues')
 * status // 401: every route but /health wants the token
 * ```
 *
 * @module
 */
export { type AppOptions, createApp } from './app.ts'
export { type Auth, createDoor, type DoorOptions } from './door.ts'
export type { HealthJson } from './health.ts'
export type { QueueJson } from './queue-json.ts'
