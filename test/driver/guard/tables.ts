import { NETLINK_NETFILTER, NFT_MSG, NFTA, nftablesType } from '../../../driver/guard/nftables-messages.ts'
import { loadNative } from '../../../driver/native/index.ts'
import { NLM_F_DUMP, readAttributes, readMessages } from '../../../driver/netlink/message.ts'
import { NetlinkWriter, NFGEN_BYTES } from '../../../driver/netlink/writer.ts'
import { inNamespace } from '../../../driver/system.ts'
import type { VethPair } from '../../support/netns.ts'

/** Names of the tables of nftables on our end of the pair. */
export function tables(pair: VethPair): string[] {
  const native = loadNative()
  const fd = inNamespace(native, pair.oursPath, () => native.netlinkOpen(NETLINK_NETFILTER, 0))
  try {
    native.netlinkSend(
      fd,
      new NetlinkWriter().message(nftablesType(NFT_MSG.getTable), NLM_F_DUMP, 1, 0, 0).finish(),
    )
    const names: string[] = []
    const reply = new Uint8Array(65_536)
    for (let bytes = native.netlinkReceive(fd, reply); bytes > 0; bytes = native.netlinkReceive(fd, reply)) {
      for (const { body, type } of readMessages(reply.subarray(0, bytes))) {
        const name =
          type === nftablesType(NFT_MSG.newTable)
            ? readAttributes(body, NFGEN_BYTES).get(NFTA.tableName)
            : undefined
        if (name !== undefined) names.push(Buffer.from(name).toString().replace('\0', ''))
      }
    }
    return names
  } finally {
    native.close(fd)
  }
}
