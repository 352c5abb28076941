import { type Store, WherryError } from '../../src/main.ts'

/** A document that was found. */
export interface Hit {
  readonly path: string
  /** How often the words of the query stand in it. */
  readonly score: number
}

/** Documents that one word may find. */
const HITS_MAX = 1_000
/** Rivals for one document's record are few: one job runs for each path. */
const TRIES_MAX = 10

/**
 * A small full-text index in the same store as the jobs. A document is one record; each of its words
 * is a tag of it, with the frequency as the score, so a word's documents are one range.
 */
export class SearchIndex {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Indexes the text under the path, in place of what was there. */
  async put(path: string, text: string): Promise<{ words: number; terms: number }> {
    const words = wordsOf(text)
    const frequencies = new Map<string, number>()
    for (const word of words) frequencies.set(word, (frequencies.get(word) ?? 0) + 1)
    const tags = Object.fromEntries([...frequencies].map(([word, n]) => [tagOf(word), n]))
    const key = await keyOf(path)
    for (let attempt = 1; attempt <= TRIES_MAX; attempt++) {
      const { got } = await this.#store.read({ get: [key] })
      const expect = got[0]?.version ?? null
      const put = { key, expect, place: PLACE, score: 0, tags, parts: { path } }
      const [version] = await this.#store.commit([[put]])
      if (version) return { words: words.length, terms: frequencies.size }
    }
    throw new WherryError('store-unavailable', `Cannot index "${path}": its record keeps changing`)
  }

  /** The first `limit` documents with every word of the query, the best first. */
  async search(query: string, limit: number): Promise<Hit[]> {
    const words = [...new Set(wordsOf(query))]
    if (words.length === 0) return []
    const { ranges } = await this.#store.read({
      ranges: words.map((word) => ({ tag: tagOf(word), limit: HITS_MAX, reverse: true })),
    })
    const scores = new Map<string, number[]>()
    ranges.forEach((records, i) => {
      const tag = tagOf(words[i] as string)
      for (const { key, tags } of records)
        scores.set(key, [...(scores.get(key) ?? []), tags?.[tag] ?? 0])
    })
    const found = [...scores].flatMap(([key, each]) =>
      each.length === words.length
        ? [{ key, score: each.reduce((sum, score) => sum + score) }]
        : [],
    )
    found.sort((a, b) => b.score - a.score || (a.key < b.key ? -1 : 1))
    return this.#load(found.slice(0, limit))
  }

  async #load(found: readonly { readonly key: string; readonly score: number }[]): Promise<Hit[]> {
    const { got } = await this.#store.read({ get: found.map(({ key }) => key), parts: ['path'] })
    return found.map(({ score }, i) => ({ path: got[i]?.parts?.['path'] ?? '', score }))
  }
}

const PLACE = 'k/document'

/** Paths may be long and hold anything; a key may not. */
async function keyOf(path: string): Promise<string> {
  return `k/document/${await digest(path)}`
}

/** A short stable name of a text: the first 40 hexadecimal digits of its SHA-256. */
export async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(
    await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)),
  )
  return Array.from(bytes.slice(0, 20), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  ).map((word) => word.slice(0, 40))
}

/** Tags are printable ASCII. */
function tagOf(word: string): string {
  return `term/${encodeURIComponent(word)}`
}
