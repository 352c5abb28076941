/** The example app on Bun. */
import { openStore, serve } from '../../adapters/runtime/bun.ts'
import { createSearch, createSearchApp } from './app.ts'

const storage = process.env['WHERRY_STORAGE'] ?? 'sqlite:./.wherry/search.db'
const { url } = await serve(async (_env, { door }) => {
  const search = await createSearch(await openStore(storage))
  return { service: search.service, app: createSearchApp(search, door) }
})
process.stdout.write(`Listening on ${url}\n`)
