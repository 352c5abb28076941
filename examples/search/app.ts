/**
 * The example app: a queue that indexes documents, and a search over them, in one store. The same on
 * every runtime: each entry beside this file hands in its own `openStore`.
 */
import { Hono } from 'hono/tiny'
import { createApp, createDoor, type DoorOptions } from '../../src/http/main.ts'
import {
  type Job,
  type JobQueue,
  JobQueueService,
  type JobQueueServiceOptions,
  type Store,
} from '../../src/main.ts'
import { SearchIndex } from './search-index.ts'

export interface Document {
  readonly path: string
  readonly text: string
}

export interface Indexed {
  readonly words: number
  readonly terms: number
}

export interface SearchApp {
  readonly service: JobQueueService
  readonly documents: JobQueue<Document, Indexed>
  readonly index: SearchIndex
}

/** The service, its queue `index-document`, and the index that the queue fills. */
export async function createSearch(
  store: Store,
  options: JobQueueServiceOptions = {},
): Promise<SearchApp> {
  const index = new SearchIndex(store)
  const service = new JobQueueService({ ...options, storage: store })
  const documents = await service.createQueue({
    name: 'index-document',
    concurrency: 4,
    process: (job: Job<Document>): Promise<Indexed> => index.put(job.data.path, job.data.text),
  })
  return { service, documents, index }
}

/** The HTTP API of the queue, and `GET /search?q=`, behind one door. */
export function createSearchApp({ service, index }: SearchApp, door: DoorOptions): Hono {
  const app = new Hono()
  app.use('/search', createDoor(door))
  app.get('/search', async (c) => {
    const query = c.req.query('q') ?? ''
    return c.json({ query, hits: await index.search(query, 20) })
  })
  return app.route('/', createApp(service, door))
}
