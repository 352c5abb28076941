const digests = new Map<string, string>()

/** The SHA-1 of a script, by which a server knows it that has run it before. */
export async function digestOf(script: string): Promise<string> {
  const known = digests.get(script)
  if (known !== undefined) return known
  const bytes = await crypto.subtle.digest('SHA-1', new TextEncoder().encode(script))
  const digits = Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0'))
  const digest = digits.join('')
  digests.set(script, digest)
  return digest
}
