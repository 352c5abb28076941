/**
 * Makes a shop's database with a few products, indexed.
 *
 *     node populate.ts '{"database":"shop.sqlite","storage":"memory:","isFirst":true}'
 */
import { writeFileSync } from 'node:fs'
import { bootstrap, JobQueueService, LanguageCode } from '@vendure/core'
import { populate } from '@vendure/core/cli/index.js'
import { type ShopSetting, shopOf } from './shop.ts'

const setting: ShopSetting = JSON.parse(process.argv[2] ?? '')
const products = `${setting.database}.csv`
writeFileSync(
  products,
  `name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,trackInventory,variantAssets,variantFacets
Spiky Cactus,spiky-cactus,A plant,,category:plants,,,C-1,10.00,Standard,100,false,,
Tulip Pot,tulip-pot,A flower,,category:plants,,,C-2,15.00,Standard,100,false,,
Hanging Fern,hanging-fern,A fern,,category:plants,,,C-3,20.00,Standard,100,false,,
`,
)
const app = await populate(
  async () => {
    const started = await bootstrap(shopOf(setting))
    await started.get(JobQueueService).start()
    return started
  },
  {
    defaultLanguage: LanguageCode.en,
    defaultZone: 'Europe',
    countries: [{ code: 'GB', name: 'United Kingdom', zone: 'Europe' }],
    taxRates: [{ name: 'Standard Tax', percentage: 20 }],
    shippingMethods: [{ name: 'Standard Shipping', price: 500 }],
    paymentMethods: [],
    collections: [
      {
        name: 'Plants',
        filters: [
          { code: 'facet-value-filter', args: { facetValueNames: ['plants'], containsAny: false } },
        ],
      },
    ],
  },
  products,
)
await app.close()
process.exit(0)
