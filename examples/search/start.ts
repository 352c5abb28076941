/** `npm start` and `bun run start` run the same script; each gets the entry of its own runtime. */
await import('Bun' in globalThis ? './bun.ts' : './node.ts')
