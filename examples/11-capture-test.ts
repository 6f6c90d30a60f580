/**
 * A test of one's own with a capture in place of a network: what a peer sent is received by the stack, and compared with what is expected.
 *
 *     node 11-capture-test.js             a capture that is written packet by packet
 *     node 11-capture-test.js FILE        and the streams of one that tcpdump has written
 */
import { expectCompletions, expectPackets, expectStream, packets, replay } from 'zcrx/pcap'

const [file] = process.argv.slice(2)
if (file === undefined) {
  const capture = packets({ client: '192.0.2.1:40000', server: '192.0.2.2:80' })
    .handshake({ mss: 1460 })
    .client('damaged', { checksum: 'bad' })
    .lose()
    .client({ seq: 1, data: 'repaired' })
    .close()
  const run = await replay(capture, { direction: 'client' })
  // What came damaged was dropped and came again: the program saw the right bytes, once.
  expectCompletions(run, ['repaired'])
  expectStream(run, { bytes: 8, end: 'fin' })
  expectPackets(run, ['*[SYN, ACK] seq=0 ack=1 *', '*ack=9*', '*ack=10*', '*[FIN, ACK] seq=1 ack=10*'])
  console.log('the stream is whole, and every packet was answered as expected')
} else {
  const { streams } = await replay(file)
  for (const { client, server, direction, bytes, sha256, end } of streams)
    console.log(`${client} > ${server}, ${direction}: ${bytes} bytes, ${end}, sha256 ${sha256}`)
}
