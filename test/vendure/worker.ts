/**
 * A shop's worker.
 *
 *     node worker.ts '{"database":"shop.sqlite","storage":"redis://127.0.0.1:6379"}'
 */
import { bootstrapWorker } from '@vendure/core'
import { shopOf } from './shop.ts'

const worker = await bootstrapWorker(shopOf(JSON.parse(process.argv[2] ?? '')))
await worker.startJobQueue()
process.send?.({ event: 'ready' })
