/** Which store a URL, a driver or a `Storage` stands for. */
import type { Store } from '../../src/main.ts'
import { refusal } from '../../src/refusal.ts'

/** `scheme:rest?base=…`, taken apart. */
export interface StorageUrl {
  readonly scheme: string
  /** What follows the scheme, without the query. */
  readonly path: string
  /** The key prefix; undefined: the store's default. */
  readonly base: string | undefined
  /** The text itself, for stores whose client takes a URL. Never to be shown: it may hold a password. */
  readonly href: string
}

export type OpenUrl = (url: StorageUrl) => Store | Promise<Store>

/**
 * Takes a storage URL apart.
 *
 * @throws WherryError `input-invalid` naming what is known.
 */
export function parseStorageUrl(href: string, known: readonly string[]): StorageUrl {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9-]*):(.*)$/s.exec(href) ?? []
  if (!known.includes(scheme)) {
    // Only the scheme is shown: the rest may be a secret.
    const is = scheme === '' ? 'its URL has no scheme' : `its URL begins with "${scheme}:"`
    throw refusal('open a store', is, `one of ${known.map((one) => `${one}:`).join(', ')}`)
  }
  const [path = '', query = ''] = rest.split(/\?(.*)/s)
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    // A URL with a host is its client's, and so are its other parameters.
    if (name !== 'base' && !path.startsWith('//'))
      throw refusal('open a store', 'its URL has a parameter', 'base alone')
  }
  return { scheme, path, base: parameters.get('base') ?? undefined, href }
}
