/** The example app on Deno. */
import { openStore, serve } from '../../adapters/runtime/deno.ts'
import { createSearch, createSearchApp } from './app.ts'

const { url } = await serve(async (env, { door }) => {
  const storage = String(env['WHERRY_STORAGE'] ?? 'sqlite:./.wherry/search.db')
  const search = await createSearch(await openStore(storage))
  return { service: search.service, app: createSearchApp(search, door) }
})
// biome-ignore lint/suspicious/noConsole: an example tells where it listens
console.log(`Listening on ${url}`)
